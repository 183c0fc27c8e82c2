-- What a scheduler does for order's sake: counters of flows, the end of flows,
-- doubles of routes and lanes.

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
	PERFORM muster.fold_doubles();
	RETURN v_done;
END
$$;

CREATE OR REPLACE FUNCTION muster.fold_deltas(p_flows bigint[])
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_count int := 0;
	v_sum record;
	v_parent bigint;
	v_parents bigint[];
BEGIN
	PERFORM FROM (SELECT FROM muster.flow f WHERE f.id = ANY (p_flows)
		ORDER BY f.id FOR NO KEY UPDATE) l;
	FOR v_sum IN
		WITH gone AS (
			DELETE FROM muster.flow_delta d
			WHERE d.flow_id = ANY (p_flows) RETURNING d.*
		)
		SELECT g.flow_id, count(*)::int AS n, sum(g.total) AS total,
			sum(g.succeeded) AS succeeded, sum(g.failed) AS failed,
			sum(g.cancelled) AS cancelled, sum(g.skipped) AS skipped
		FROM gone g GROUP BY g.flow_id
	LOOP
		UPDATE muster.flow f SET total = f.total + v_sum.total,
			succeeded = f.succeeded + v_sum.succeeded,
			failed = f.failed + v_sum.failed,
			cancelled = f.cancelled + v_sum.cancelled,
			skipped = f.skipped + v_sum.skipped,
			state = 'running', finished_at = NULL
		WHERE f.id = v_sum.flow_id RETURNING f.parent_task INTO v_parent;
		v_parents := v_parents || v_parent;
		v_count := v_count + v_sum.n;
	END LOOP;
	INSERT INTO muster.expansion (task_id) -- of maps that have room again
	SELECT p.task_id FROM muster.container_plan p
	WHERE p.task_id = ANY (v_parents) AND p.created < p.counted
		AND p.max_running IS NOT NULL;
	RETURN v_count;
END
$$;

-- Flows of which nothing is open and nothing is still being settled; with them
-- their containers. A flow that is in another one is purged with that.
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
