-- A task that is a function in this database: its effect and its finish are one
-- transaction, so it happens exactly once.

-- Calls p_function(payload jsonb, inputs jsonb, task muster.task_context) as
-- p_role, then finishes the task with what it returns. MU002 if the lease is
-- not the worker's any more: with it goes all that the function did. What the
-- function raises comes out as it is; the worker then finishes the task as
-- failed by a turn. SECURITY INVOKER: within a definer's rights no other role
-- could be taken on.
-- Locks: worker for key share and the lease after the call, so that a long
-- function holds up nobody.
CREATE OR REPLACE FUNCTION muster.sql_task(p_worker bigint, p_lease bigint,
	p_task bigint, p_function text, p_role text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_started timestamptz := clock_timestamp();
	v_context muster.task_context;
	v_payload jsonb;
	v_inputs jsonb;
	v_result jsonb;
	v_me text := current_setting('role');
	v_call text := format('SELECT %s($1, $2, $3)',
		muster.function_name(p_function));
BEGIN
	PERFORM muster.check_isolation();
	SELECT t.id, t.flow_id, r.kind, r.queue, t.name, t.attempts + 1,
		p_lease || '-' || t.id
	INTO v_context
	FROM muster.task t
	CROSS JOIN LATERAL (SELECT x.kind, x.queue FROM muster.route x
		WHERE x.id = t.route_id LIMIT 1) r
	WHERE t.id = p_task;
	v_payload := muster.payload(p_task)::jsonb;
	v_inputs := muster.inputs(p_task)::jsonb;
	IF NOT muster.holds(p_worker, p_lease, p_task) THEN
		RAISE EXCEPTION 'task % is fenced', p_task
			USING ERRCODE = 'MU002';
	END IF;
	PERFORM set_config('role', p_role, true);
	EXECUTE v_call INTO v_result USING v_payload, v_inputs, v_context;
	PERFORM set_config('role', v_me, true);
	PERFORM muster.finish_sql(p_worker, p_lease, p_task, v_result,
		(extract(epoch FROM clock_timestamp() - v_started) * 1000)::int);
END
$$;

-- The name of a function as it may be put into a statement: "app.rollup".
CREATE OR REPLACE FUNCTION muster.function_name(p_name text)
RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	RETURN (SELECT string_agg(quote_ident(u.part), '.' ORDER BY u.o)
		FROM unnest(parse_ident(p_name)) WITH ORDINALITY u(part, o));
END
$$;

-- Whether the task stands in this lease of this live worker.
CREATE OR REPLACE FUNCTION muster.holds(
	p_worker bigint, p_lease bigint, p_task bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RETURN EXISTS (SELECT FROM muster.lease l WHERE l.id = p_lease
			AND l.worker_id = p_worker AND p_task = ANY (l.task_ids))
		AND EXISTS (SELECT FROM muster.worker w WHERE w.id = p_worker
			AND w.dead_at IS NULL);
END
$$;

-- The finish of a sql task; MU002 if it is fenced.
CREATE OR REPLACE FUNCTION muster.finish_sql(p_worker bigint, p_lease bigint,
	p_task bigint, p_result jsonb, p_ran_ms int)
RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
	v_fenced bigint[];
BEGIN
	PERFORM FROM muster.worker w
	WHERE w.id = p_worker AND w.dead_at IS NULL FOR KEY SHARE;
	IF FOUND THEN
		v_fenced := (muster.finish(p_worker, ARRAY[p_lease],
			ARRAY[p_task], 's', ARRAY[p_ran_ms], '{}',
			ARRAY[p_result::text], '{}')).fenced_task;
	END IF;
	IF NOT FOUND OR v_fenced IS NOT NULL THEN
		RAISE EXCEPTION 'task % is fenced', p_task
			USING ERRCODE = 'MU002';
	END IF;
END
$$;
