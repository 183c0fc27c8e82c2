-- Workers: registering, life signs, leaving, and what is asked after a
-- reconnect.

-- Records the worker, or its new lists and connection; interns every pair of
-- queue and kind, and gives their routes. MU001 if that worker is dead. After a
-- reconnect a turn of the lost session may still be under way: the lock waits
-- for it, so that worker_leases() sees what it has claimed.
CREATE OR REPLACE FUNCTION muster.worker_register(p_worker bigint,
	p_instance text, p_host text, p_pid int, p_version text,
	p_queues text[], p_kinds text[])
RETURNS TABLE (route int, queue text, kind text)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
	v_dead timestamptz;
BEGIN
	PERFORM muster.check_isolation();
	SELECT w.dead_at INTO v_dead FROM muster.worker w
	WHERE w.id = p_worker FOR UPDATE;
	IF v_dead IS NOT NULL THEN
		RAISE EXCEPTION 'worker % is dead since %', p_worker, v_dead
			USING ERRCODE = 'MU001';
	ELSIF FOUND THEN
		UPDATE muster.worker SET last_beat_at = now(),
			beats = beats + 1, pid = p_pid,
			backend_pid = pg_backend_pid(), instance = p_instance,
			host = p_host, version = p_version,
			queues = p_queues, kinds = p_kinds
		WHERE id = p_worker;
	ELSE
		INSERT INTO muster.worker (id, pid, backend_pid, instance, host,
			version, queues, kinds)
		VALUES (p_worker, p_pid, pg_backend_pid(), p_instance, p_host,
			p_version, p_queues, p_kinds);
	END IF;
	RETURN QUERY SELECT muster.route_of(q.name, k.name), q.name, k.name
	FROM (SELECT DISTINCT unnest(p_queues) AS name) q,
		(SELECT DISTINCT unnest(p_kinds) AS name) k;
END
$$;

-- A life sign. False: the worker is dead or unknown and must register anew.
CREATE OR REPLACE FUNCTION muster.beat(p_worker bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	UPDATE muster.worker SET beats = beats + 1,
		last_beat_at = clock_timestamp(), backend_pid = pg_backend_pid()
	WHERE id = p_worker AND dead_at IS NULL;
	RETURN FOUND;
END
$$;

-- Live workers, for schedulers that watch whether `beats` changes.
CREATE OR REPLACE FUNCTION muster.worker_signs()
RETURNS TABLE (worker bigint, instance text, host text, pid int,
	backend_pid int, beats bigint, leased int)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	SELECT w.id, w.instance, w.host, w.pid, w.backend_pid, w.beats,
		coalesce(l.n, 0)::int
	FROM muster.worker w
	LEFT JOIN (SELECT worker_id, sum(cardinality(task_ids)) AS n
		FROM muster.lease GROUP BY worker_id) l ON l.worker_id = w.id
	WHERE w.dead_at IS NULL;
END
$$;

-- What the worker holds, for the check after a reconnect.
CREATE OR REPLACE FUNCTION muster.worker_leases(p_worker bigint)
RETURNS TABLE (lease bigint, task bigint) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
BEGIN
	RETURN QUERY SELECT l.id, unnest(l.task_ids) FROM muster.lease l
	WHERE l.worker_id = p_worker ORDER BY l.id;
END
$$;

-- A clean end: what it still holds goes back uncharged, nothing of it stays.
CREATE OR REPLACE FUNCTION muster.worker_leave(p_worker bigint)
RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
BEGIN
	PERFORM muster.rescue(p_worker, 'left', '{}', 0);
	DELETE FROM muster.worker WHERE id = p_worker;
END
$$;
