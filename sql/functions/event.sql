-- What schedulers tell on Redis beside what workers do.

-- fold(), and the flows that it ended, a row each, if p_told. One row at least.
-- What this transaction ended it has put into finished, and nobody else has.
CREATE OR REPLACE FUNCTION muster.fold_told(p_limit int, p_told boolean)
RETURNS TABLE (done int, flow_id bigint, name text, state text, total int,
	succeeded int, failed int, cancelled int, skipped int, error text)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
	v_done int := muster.fold(p_limit);
	v_ended bigint[];
BEGIN
	IF p_told AND v_done > 0 THEN
		SELECT array_agg(x.flow_id) INTO v_ended
		FROM muster.finished x
		WHERE x.at >= now() AND x.xmin = pg_current_xact_id()::xid
			AND x.flow_id IS NOT NULL;
	END IF;
	RETURN QUERY SELECT v_done, f.id, f.name, f.state, f.total,
		f.total - f.failed - f.cancelled - f.skipped, f.failed,
		f.cancelled, f.skipped, left(f.error, 4096)
	FROM muster.flow f WHERE f.id = ANY (v_ended);
	IF NOT FOUND THEN
		RETURN QUERY SELECT v_done, NULL::bigint, NULL, NULL, NULL::int,
			NULL::int, NULL::int, NULL::int, NULL::int, NULL;
	END IF;
END
$$;

-- rescue(), whether the worker was alive until then (null: it is not known), and
-- the tasks that ended with it, a row each. One row at least.
CREATE OR REPLACE FUNCTION muster.rescue_told(p_worker bigint, p_cause text,
	p_started bigint[], p_crash_limit int, p_inside bigint[])
RETURNS TABLE (handed_back int, failed int, was_alive boolean, task_id bigint,
	kind text, queue text, flow_id bigint, attempt int, state "char",
	error text)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
	v_ids bigint[];
	v_alive boolean;
	v_sums record;
BEGIN
	SELECT w.dead_at IS NULL INTO v_alive FROM muster.worker w
	WHERE w.id = p_worker FOR UPDATE;
	SELECT array_agg(u.id ORDER BY u.id) INTO v_ids
	FROM muster.lease l CROSS JOIN LATERAL unnest(l.task_ids) u(id)
	WHERE l.worker_id = p_worker;
	SELECT r.handed_back, r.failed INTO v_sums
	FROM muster.rescue(p_worker, p_cause, p_started, p_crash_limit,
		p_inside) r;
	RETURN QUERY SELECT v_sums.handed_back, v_sums.failed, v_alive, t.id,
		r.kind, r.queue, t.flow_id, t.attempts, t.state,
		left(t.error, 4096)
	FROM unnest(v_ids) u(id)
	CROSS JOIN LATERAL (SELECT x.* FROM muster.task x
		WHERE x.id = u.id AND x.state IN ('f', 'c') OFFSET 0) t
	CROSS JOIN LATERAL (SELECT y.kind, y.queue FROM muster.route y
		WHERE y.id = t.route_id LIMIT 1) r;
	IF NOT FOUND THEN
		RETURN QUERY SELECT v_sums.handed_back, v_sums.failed, v_alive,
			NULL::bigint, NULL, NULL, NULL::bigint, NULL::int,
			NULL::"char", NULL;
	END IF;
END
$$;
