-- What a scheduler does for order's sake: counters of flows, the end of flows
-- and, when there is nothing else to do, doubles of routes and lanes.

-- Adds up to p_limit deltas to their flows, and ends the flows of which nothing
-- is open; how much was done. One at a time in the database.
-- Locks: flow, in order; then containers' tasks, never waiting. What an admission adds to a flow meanwhile is seen,
-- since it holds the flow for share and the deltas are read afterwards.
CREATE OR REPLACE FUNCTION muster.fold(p_limit int)
RETURNS int LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
	v_flows bigint[];
	v_done int := 0;
BEGIN
	PERFORM muster.check_isolation();
	IF NOT pg_try_advisory_xact_lock(hashtext('muster fold')) THEN
		RETURN 0;
	END IF;
	SELECT array_agg(DISTINCT d.flow_id) INTO v_flows
	FROM (SELECT x.flow_id FROM muster.flow_delta x
		WHERE x.id >= muster.list_mark('flow_delta')
		ORDER BY x.id LIMIT p_limit) d;
	IF v_flows IS NOT NULL THEN
		v_done := muster.fold_deltas(v_flows);
	END IF;
	v_done := v_done + muster.fold_ended(p_limit);
	IF v_done = 0 THEN
		PERFORM muster.fold_doubles(), muster.fold_lengths();
	END IF;
	RETURN v_done;
END
$$;

CREATE OR REPLACE FUNCTION muster.fold_deltas(p_flows bigint[])
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_count int;
	v_flow bigint[];
	v_total int[];
	v_sums int[]; -- four a flow
BEGIN
	PERFORM FROM (SELECT FROM muster.flow f WHERE f.id = ANY (p_flows)
		ORDER BY f.id FOR NO KEY UPDATE) l;
	WITH gone AS (
		DELETE FROM muster.flow_delta d
		WHERE d.flow_id = ANY (p_flows) RETURNING d.*
	)
	SELECT sum(s.n), array_agg(s.flow_id), array_agg(s.total),
		array_agg(s.sums)
	INTO v_count, v_flow, v_total, v_sums
	FROM (SELECT g.flow_id, count(*) AS n, sum(g.total)::int AS total,
			ARRAY[sum(g.succeeded), sum(g.failed), sum(g.cancelled),
				sum(g.skipped)]::int[] AS sums
		FROM gone g GROUP BY g.flow_id ORDER BY g.flow_id) s;
	UPDATE muster.flow f SET (total, succeeded, failed, cancelled, skipped)
		= (SELECT f.total + v_total[o.at], f.succeeded + v_sums[o.at][1],
			f.failed + v_sums[o.at][2],
			f.cancelled + v_sums[o.at][3],
			f.skipped + v_sums[o.at][4]
		FROM (SELECT width_bucket(f.id, (SELECT v_flow || '{}')) AS at
			OFFSET 0) o),
		state = 'running', finished_at = NULL, error = NULL
	WHERE f.id = ANY (v_flow);
	INSERT INTO muster.expansion (task_id) -- of maps that have room again
	SELECT p.task_id FROM muster.container_plan p
	WHERE p.task_id = ANY (ARRAY(SELECT f.parent_task FROM muster.flow f
			WHERE f.id = ANY (v_flow) AND f.parent_task IS NOT NULL))
		AND p.created < p.counted AND p.max_running IS NOT NULL;
	RETURN coalesce(v_count, 0);
END
$$;

-- Flows of which nothing is open, nothing is still being settled and nothing
-- arrives. What a task of the flow has enqueued into it before it ended is seen
-- here: as an arrival, or in what its admission added. With them end their
-- containers. A flow that is in another one is purged with that.
CREATE OR REPLACE FUNCTION muster.fold_ended(p_limit int)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_ended bigint[];
BEGIN
	SELECT array_agg(l.id) INTO v_ended
	FROM (SELECT f.id FROM muster.flow f
		WHERE f.finished_at IS NULL AND f.total = f.succeeded + f.failed
			+ f.cancelled + f.skipped
		ORDER BY f.id LIMIT p_limit FOR NO KEY UPDATE) l
	WHERE NOT EXISTS (SELECT FROM muster.remainder r WHERE r.flow_id = l.id)
		AND NOT EXISTS (SELECT FROM muster.arriving a
			WHERE a.flow_id = l.id)
		AND NOT EXISTS (SELECT FROM muster.flow_delta d
			WHERE d.flow_id = l.id);
	v_ended := muster.container_hold(v_ended);
	IF v_ended IS NULL THEN
		RETURN 0;
	END IF;
	UPDATE muster.flow f SET finished_at = now(),
		state = CASE WHEN f.failed > 0 THEN 'failed'
			WHEN f.cancelled > 0
				OR muster.container_cut(f.parent_task) THEN 'cancelled'
			ELSE 'succeeded' END,
		error = CASE WHEN f.failed > 0
			THEN muster.flow_failures(f.id) END
	WHERE f.id = ANY (v_ended);
	INSERT INTO muster.finished (at, flow_id)
	SELECT now(), f.id FROM muster.flow f
	WHERE f.id = ANY (v_ended) AND f.parent_task IS NULL;
	PERFORM muster.container_ended(v_ended);
	RETURN cardinality(v_ended);
END
$$;

-- Names every failure of a flow, a line each; of very many the first 100.
CREATE OR REPLACE FUNCTION muster.flow_failures(p_flow bigint)
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT string_agg(CASE WHEN x.n <= 100 THEN format('%s: %s',
			coalesce(x.name, 'task ' || x.id),
			left(coalesce(x.error, 'failed'), 500))
			WHEN x.n = 101 THEN format('and %s more', x.failed - 100)
			END, E'\n' ORDER BY x.id)
		FROM (SELECT t.id, t.name, t.error,
				row_number() OVER (ORDER BY t.id) AS n,
				count(*) OVER () AS failed
			FROM muster.task t
			WHERE t.flow_id = p_flow AND t.state = 'f') x);
END
$$;

-- Rows of route and lanes that stand there twice. The one that is first on disk
-- stays, so that one stays whoever removes the others.
CREATE OR REPLACE FUNCTION muster.fold_doubles()
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM muster.lanes l WHERE l.ctid IN (
		SELECT x.at FROM (SELECT y.ctid AS at, row_number() OVER (
			PARTITION BY y.route_id, y.rank, y.lane ORDER BY y.ctid) AS n
			FROM muster.lanes y) x WHERE x.n > 1);
	DELETE FROM muster.route r WHERE r.ctid IN (
		SELECT x.at FROM (SELECT y.ctid AS at, row_number() OVER (
			PARTITION BY y.id, y.queue, y.kind ORDER BY y.ctid) AS n
			FROM muster.route y) x WHERE x.n > 1);
END
$$;
