-- Tasks whose time has come.

-- Moves up to p_limit of them from scheduled to ready (those with a concurrency
-- key to admission), looking from p_floor
-- on (NULL: from the mark, see mark.sql). Gives how many, how long until the
-- next (0: there are more; null: none), and the floor for the next call.
-- A floor may miss what committed late: a call without one, now and then,
-- finds it. Locks: scheduled (what others hold is stepped over).
CREATE OR REPLACE FUNCTION muster.due(p_limit int, p_floor timestamptz)
RETURNS TABLE (moved int, next_in_ms bigint, floor timestamptz)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
	v_now timestamptz := clock_timestamp();
	v_from timestamptz := coalesce(p_floor, (SELECT m.mark
		FROM muster.scheduled_mark m ORDER BY m.mark DESC LIMIT 1),
		'-infinity');
	v_ctid tid[];
	v_first timestamptz;
	v_next timestamptz;
	v_routes int[];
	v_keyed bigint[];
BEGIN
	PERFORM muster.check_isolation();
	SELECT array_agg(h.ctid), min(h.run_at), count(*)::int
	INTO v_ctid, v_first, moved
	FROM (SELECT s.ctid, s.run_at FROM muster.scheduled s
		WHERE s.run_at >= v_from AND s.run_at <= v_now
		ORDER BY s.run_at, s.task_id
		LIMIT p_limit FOR UPDATE SKIP LOCKED) h;
	IF moved > 0 THEN
		WITH gone AS (
			DELETE FROM muster.scheduled s WHERE s.ctid = ANY (v_ctid)
			RETURNING s.*
		), put AS (
			INSERT INTO muster.ready (seq, task_id, at, route_id,
				size, rank, lane, ticket)
			SELECT nextval('muster.ready_seq'), g.task_id, g.run_at,
				g.route_id, g.size, g.rank, g.lane, g.ticket
			FROM gone g WHERE g.lock_id IS NULL
			RETURNING route_id
		)
		SELECT (SELECT array_agg(p.route_id) FROM put p),
			(SELECT array_agg(g.task_id) FROM gone g
				WHERE g.lock_id IS NOT NULL)
		INTO v_routes, v_keyed;
		PERFORM muster.announce(v_routes);
		IF v_keyed IS NOT NULL THEN
			PERFORM muster.lock_ask(v_keyed);
		END IF;
	END IF;
	IF moved = p_limit THEN
		floor := v_first;
		next_in_ms := 0;
	ELSE
		floor := v_now;
		SELECT s.run_at INTO v_next FROM muster.scheduled s
		WHERE s.run_at > v_now ORDER BY s.run_at LIMIT 1;
		IF FOUND THEN -- greatest() would make 0 of "none"
			next_in_ms := ceil(greatest(extract(epoch
				FROM v_next - clock_timestamp()) * 1000, 0))::bigint;
		END IF;
	END IF;
	RETURN NEXT;
END
$$;
