-- Workers: registering, life signs, leaving, and what is asked after a
-- reconnect.

-- Records the worker, or its new lists and connection; interns every pair of
-- queue and kind, and gives their routes. MU001 if that worker is dead. After a
-- reconnect a turn of the lost session may still be under way: the row's lock
-- waits for it, so that worker_leases() sees what it has claimed.
-- p_lock: this session is the worker's own, no pooler stands between; it locks
-- the worker's id until it ends, and by that its end is known (sessions_ended).
-- While an earlier session still holds the lock, this one does without.
CREATE OR REPLACE FUNCTION muster.worker_register(p_worker bigint,
	p_instance text, p_host text, p_pid int, p_version text,
	p_queues text[], p_kinds text[], p_lock boolean DEFAULT false)
RETURNS TABLE (route int, queue text, kind text)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
	v_dead timestamptz;
	v_locked boolean;
BEGIN
	PERFORM muster.check_isolation();
	SELECT w.dead_at INTO v_dead FROM muster.worker w
	WHERE w.id = p_worker FOR UPDATE;
	IF v_dead IS NOT NULL THEN
		RAISE EXCEPTION 'worker % is dead since %', p_worker, v_dead
			USING ERRCODE = 'MU001';
	END IF;
	v_locked := p_lock AND pg_try_advisory_lock(p_worker);
	UPDATE muster.worker SET last_beat_at = now(), beats = beats + 1,
		pid = p_pid, backend_pid = pg_backend_pid(), locked = v_locked,
		instance = p_instance, host = p_host, version = p_version,
		queues = p_queues, kinds = p_kinds
	WHERE id = p_worker;
	IF NOT FOUND THEN
		INSERT INTO muster.worker (id, pid, backend_pid, locked,
			instance, host, version, queues, kinds)
		VALUES (p_worker, p_pid, pg_backend_pid(), v_locked,
			p_instance, p_host, p_version, p_queues, p_kinds);
	END IF;
	RETURN QUERY SELECT muster.route_of(q.name, k.name), q.name, k.name
	FROM (SELECT DISTINCT unnest(p_queues) AS name) q,
		(SELECT DISTINCT unnest(p_kinds) AS name) k;
END
$$;

-- A life sign. False: the worker is dead or unknown and must register anew.
-- One that comes by another session than the one that registered shows that
-- there is a pooler after all: then its lock says nothing about the worker.
CREATE OR REPLACE FUNCTION muster.beat(p_worker bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	UPDATE muster.worker SET beats = beats + 1,
		last_beat_at = clock_timestamp(), backend_pid = pg_backend_pid(),
		locked = locked AND backend_pid = pg_backend_pid()
	WHERE id = p_worker AND dead_at IS NULL;
	RETURN FOUND;
END
$$;

-- Live workers, for schedulers that watch whether `beats` changes.
CREATE OR REPLACE FUNCTION muster.worker_signs()
RETURNS TABLE (worker bigint, instance text, host text, pid int,
	backend_pid int, beats bigint, leased int, locked boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	SELECT w.id, w.instance, w.host, w.pid, w.backend_pid, w.beats,
		coalesce(l.n, 0)::int, w.locked
	FROM muster.worker w
	LEFT JOIN (SELECT worker_id, sum(cardinality(task_ids)) AS n
		FROM muster.lease GROUP BY worker_id) l ON l.worker_id = w.id
	WHERE w.dead_at IS NULL;
END
$$;

-- Those of these living workers whose session is known to have ended: it had
-- locked the worker's id, and nobody holds that lock. Nothing is known while
-- this server is up for less than p_up_ms: then all sessions are new.
-- The row is read before the locks: a worker that comes back in between has its
-- lock before it changes its row.
CREATE OR REPLACE FUNCTION muster.sessions_ended(
	p_workers bigint[], p_up_ms int)
RETURNS SETOF bigint LANGUAGE plpgsql AS $$
DECLARE
	v_locked bigint[] := ARRAY(SELECT w.id FROM muster.worker w
		WHERE w.id = ANY (p_workers) AND w.dead_at IS NULL AND w.locked);
BEGIN
	IF pg_postmaster_start_time()
			> clock_timestamp() - p_up_ms * interval '1 ms' THEN
		RETURN;
	END IF;
	RETURN QUERY SELECT u.id FROM unnest(v_locked) u(id)
	WHERE NOT EXISTS (SELECT FROM pg_locks l
		WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
			AND l.database = (SELECT d.oid FROM pg_database d
				WHERE d.datname = current_database())
			AND l.classid::bigint = u.id >> 32
			AND l.objid::bigint = u.id & 4294967295);
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
	PERFORM muster.rescue(p_worker, 'left', '{}', NULL);
	DELETE FROM muster.worker WHERE id = p_worker;
END
$$;
