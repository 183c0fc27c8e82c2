-- Rescue: what a dead worker held runs again.

-- p_started: the tasks that had started; NULL: all may have. What had not is
-- handed back as if it had never been claimed. p_crash_limit NULL: no task can
-- be to blame, since the worker ended as it was told to, or with its host or
-- its whole daemon; what had started is ready at once, and nothing but the
-- history knows of it. Else the worker crashed, and it counts in `rescues`:
-- the first time it is ready at once, then after about 2^n s, each at a moment
-- of its own, so that it does not meet the same poisonous neighbour again, and
-- beyond p_crash_limit it fails with p_cause. p_inside: those of them that ran in
-- the worker's own process. One alone must have killed it: its attempt is
-- charged, and it fails if that was its last one. Of several nobody knows: none
-- is charged, and each, having a rescue, runs alone the next time. Idempotent;
-- the worker stays marked dead, so that what thaws learns it at its next turn.
-- Locks: worker for update, first and alone: a turn under way ends before, one
-- that comes later sees the mark; only a later statement sees the leases of the
-- former. Then lease, task, and as settle().
CREATE OR REPLACE FUNCTION muster.rescue(p_worker bigint, p_cause text,
	p_started bigint[], p_crash_limit int, p_inside bigint[])
RETURNS TABLE (handed_back int, failed int) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
	v_ids bigint[];
	v_started bigint[];
	v_cancelled bigint[];
	v_out text;
	v_crashed boolean := p_crash_limit IS NOT NULL;
	v_guilty bigint := CASE WHEN v_crashed AND cardinality(p_inside) = 1
		THEN p_inside[1] END;
BEGIN
	PERFORM muster.check_isolation();
	handed_back := 0;
	failed := 0;
	PERFORM FROM muster.worker w WHERE w.id = p_worker FOR UPDATE;
	UPDATE muster.worker SET dead_at = clock_timestamp()
	WHERE id = p_worker AND dead_at IS NULL;
	DELETE FROM muster.sleepers WHERE id = p_worker;
	PERFORM muster.borrow_return(p_worker);
	SELECT array_agg(t.task ORDER BY t.task) INTO v_ids
	FROM (SELECT x.id, x.task_ids FROM muster.lease x
		WHERE x.worker_id = p_worker ORDER BY x.id FOR UPDATE) l
	CROSS JOIN LATERAL unnest(l.task_ids) t(task);
	IF v_ids IS NULL THEN
		DELETE FROM muster.cancelling c WHERE c.worker_id = p_worker;
		RETURN NEXT;
		RETURN;
	END IF;
	-- h: handed back, not counted, b: back at once, w: after a while,
	-- f: lost too often, c: cancelled.
	v_started := coalesce(p_started, v_ids);
	SELECT string_agg(CASE WHEN NOT v_crashed THEN 'h'
			WHEN t.id <> ALL (v_started) THEN 'b'
			WHEN t.rescues >= p_crash_limit THEN 'f'
			WHEN t.id = v_guilty AND t.attempts + 1 >= t.max_attempts
				THEN 'f'
			WHEN t.rescues = 0 THEN 'b' ELSE 'w' END, '')
	INTO v_out
	FROM (SELECT x.id, x.rescues, x.attempts, x.max_attempts
		FROM muster.task x
		WHERE x.id = ANY (v_ids) ORDER BY x.id FOR NO KEY UPDATE) t;
	WITH gone AS (
		DELETE FROM muster.cancelling c WHERE c.worker_id = p_worker
		RETURNING c.task_id
	)
	SELECT array_agg(g.task_id) INTO v_cancelled FROM gone g
	WHERE g.task_id = ANY (v_ids);
	IF v_cancelled IS NOT NULL THEN
		SELECT string_agg(CASE WHEN u.id = ANY (v_cancelled) THEN 'c'
			ELSE u.c END, '' ORDER BY u.id) INTO v_out
		FROM unnest(v_ids, string_to_array(v_out, NULL)) u(id, c);
	END IF;
	PERFORM muster.rescue_tasks(p_worker, p_cause, v_ids, v_out, v_started);
	UPDATE muster.task t SET attempts = t.attempts + 1
	WHERE t.id = v_guilty AND t.id = ANY (v_ids);
	failed := length(v_out) - length(replace(v_out, 'f', ''));
	handed_back := length(v_out) - length(translate(v_out, 'hbw', ''));
	IF v_out ~ '[fc]' THEN
		PERFORM muster.settle_final(ARRAY(SELECT u.id
			FROM unnest(v_ids, string_to_array(v_out, NULL)) u(id, c)
			WHERE u.c IN ('f', 'c') ORDER BY u.id));
	END IF;
	DELETE FROM muster.lease l WHERE l.worker_id = p_worker;
	RETURN NEXT;
END
$$;

-- The same where nobody knows what ran in the worker's own process.
CREATE OR REPLACE FUNCTION muster.rescue(p_worker bigint, p_cause text,
	p_started bigint[], p_crash_limit int)
RETURNS TABLE (handed_back int, failed int) LANGUAGE sql AS $$
	SELECT * FROM muster.rescue(p_worker, p_cause, p_started, p_crash_limit,
		NULL)
$$;

-- The history, the new states and the new places. p_ids is in order and locked.
CREATE OR REPLACE FUNCTION muster.rescue_tasks(p_worker bigint, p_cause text,
	p_ids bigint[], p_out text, p_started bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_hit bigint[];
	v_back bigint[];
	v_wait bigint[];
BEGIN
	SELECT array_agg(u.id ORDER BY u.id) FILTER (
			WHERE u.c = 'f' OR u.id = ANY (p_started)),
		array_agg(u.id ORDER BY u.id) FILTER (WHERE u.c IN ('h', 'b')),
		array_agg(u.id ORDER BY u.id) FILTER (WHERE u.c = 'w')
	INTO v_hit, v_back, v_wait
	FROM unnest(p_ids, string_to_array(p_out, NULL)) u(id, c);
	INSERT INTO muster.attempt
	SELECT t.id, now(), p_worker, t.attempts + 1, NULL,
		CASE WHEN substr(p_out, width_bucket(t.id, p_ids), 1) = 'f'
			THEN 'd' ELSE 'l' END, p_cause
	FROM muster.task t WHERE t.id = ANY (v_hit);
	UPDATE muster.task t SET worker_id = p_worker, error = p_cause,
		rescues = t.rescues + (substr(p_out,
			width_bucket(t.id, p_ids), 1) <> 'h')::int
	WHERE t.id = ANY (v_hit);
	UPDATE muster.task t
	SET state = substr(p_out, width_bucket(t.id, p_ids), 1)::"char",
		finished_at = now(),
		error = CASE substr(p_out, width_bucket(t.id, p_ids), 1)
			WHEN 'f' THEN format('lost with its worker %s times, at last: %s',
				t.rescues, p_cause)
			ELSE 'cancelled' END
	WHERE t.id = ANY (p_ids)
		AND substr(p_out, width_bucket(t.id, p_ids), 1) IN ('f', 'c');
	IF v_back IS NOT NULL THEN
		PERFORM muster.put_ready(v_back), muster.lock_look(v_back);
	END IF;
	IF v_wait IS NOT NULL THEN
		PERFORM muster.put_scheduled(v_wait, ARRAY(
			SELECT (1000 * 2 ^ least(t.rescues - 1, 10)
				* (0.5 + random()))::bigint
			FROM muster.task t WHERE t.id = ANY (v_wait) ORDER BY t.id));
	END IF;
END
$$;
