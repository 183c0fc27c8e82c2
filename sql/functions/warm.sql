-- What a session does for the first time takes many times as long: the server plans
-- each statement of a function when it is met.

-- Has the statements of a worker's turns planned in this session, by turns over tasks
-- that are made up: of the route 0, which no pair has, and with ids that no task has,
-- far below 0 (what an inner step frees: as far above, and without a task). All of it
-- is undone. What is found by one walk along an index where ids lie close, and one by
-- one where they don't, is both.
-- Locks: as turn().
CREATE OR REPLACE FUNCTION muster.warm_up(p_worker bigint)
RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
	-- Others that warm up at the same time need not wait for this one.
	v_base CONSTANT bigint := 128 * (p_worker % 1000000007)
		- 4611686018427387904;
	v_want int;
	v_lease bigint[];
	v_task bigint[];
BEGIN
	-- Four and two tasks of sets, and two alone, one of them in no flow: 110 waits
	-- for six of them, 111 for two that end one after the other, 112 for 30.
	INSERT INTO muster.task (id, flow_id, created_at, route_id, size, rank,
		lane, has_dependents, sole, payload)
	SELECT v_base + u.n, CASE WHEN u.n <> 40 THEN -1 END, now(), 0, 2, 0,
		CASE u.n WHEN 40 THEN 8 ELSE 0 END, u.n < 30,
		CASE u.n WHEN 30 THEN v_base + 112 END, '{}'
	FROM unnest('{1,2,3,4,20,21,30,40,110,111}'::int[]) u(n);
	INSERT INTO muster.lanes VALUES (0, 0, 0), (0, 0, 8);
	INSERT INTO muster.ready (seq, task_id, at, route_id, size, rank, lane,
		ticket, n)
	SELECT nextval('muster.ready_seq'), v_base + u.id, now(), 0, 2 * u.n, 0,
		u.lane, 0, u.n
	FROM unnest('{1,20,30,40}'::int[], '{0,0,0,8}'::int[], '{4,2,1,1}'::int[])
		u(id, lane, n);
	INSERT INTO muster.blocked (task_id, need, spare, route_id, size, rank,
		lane, ticket)
	SELECT u.id, u.need, 0, 0, 2, 0, 0, 0
	FROM unnest(ARRAY[v_base + 110, v_base + 111, -(v_base + 112)],
		'{6,2,1}'::int[]) u(id, need);
	INSERT INTO muster.edge (need, task_id, cond)
	SELECT v_base + u.need, v_base + u.id, 's'
	FROM unnest('{1,2,3,4,20,21,1,20}'::int[],
		'{110,110,110,110,110,110,111,111}'::int[]) u(need, id);
	FOREACH v_want IN ARRAY '{2,3,2,1,2,2,2}'::int[] LOOP
		SELECT array_agg(t.lease ORDER BY t.lease, t.task),
			array_agg(t.task ORDER BY t.lease, t.task)
		INTO v_lease, v_task
		FROM muster.turn(p_worker, coalesce(v_lease, '{}'),
			coalesce(v_task, '{}'),
			repeat('s', coalesce(cardinality(v_task), 0)),
			array_fill(1, ARRAY[coalesce(cardinality(v_task), 0)]),
			'{}', '{}', '{}', '{-1,0}', ARRAY[v_want, v_want], v_want,
			1000, '{}', '{}', '{}', '{}') t
		WHERE t.what = 'c';
	END LOOP;
	RAISE EXCEPTION 'to be undone' USING ERRCODE = 'MU000';
EXCEPTION WHEN SQLSTATE 'MU000' THEN
	NULL;
END
$$;
