-- What a scheduler does for order's sake: counters of flows, and the end of flows.

-- Counts up to about p_limit ends of tasks, and as many deltas, in their flows,
-- and ends the flows of which nothing is open; how much was done. One at a time
-- in the database.
-- Locks: flow, in order; then containers' tasks, never waiting.
CREATE OR REPLACE FUNCTION muster.fold(p_limit int)
RETURNS int LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
BEGIN
	PERFORM muster.check_isolation();
	IF NOT pg_try_advisory_xact_lock(hashtext('muster fold')) THEN
		RETURN 0;
	END IF;
	RETURN muster.fold_deltas(p_limit) + muster.fold_ends(p_limit);
END
$$;

-- What opens flows again, or adds to them, and flows that were put off, which
-- are no work done.
CREATE OR REPLACE FUNCTION muster.fold_deltas(p_limit int)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_done int;
	v_flow bigint[];
	v_open int[];
	v_total int[];
	v_succeeded int[];
	v_failed int[];
	v_cancelled int[];
	v_skipped int[];
	v_recount boolean[];
BEGIN
	WITH gone AS (
		DELETE FROM muster.flow_delta d WHERE d.ctid = ANY (ARRAY(
			SELECT x.ctid FROM muster.flow_delta x
			WHERE x.id >= muster.list_mark('flow_delta')
			ORDER BY x.id LIMIT p_limit))
		RETURNING d.*
	)
	SELECT sum(s.n), array_agg(s.flow_id), array_agg(s.total - s.succeeded
			- s.failed - s.cancelled - s.skipped),
		array_agg(s.total), array_agg(s.succeeded),
		array_agg(s.failed), array_agg(s.cancelled),
		array_agg(s.skipped), array_agg(s.recount)
	INTO v_done, v_flow, v_open, v_total, v_succeeded, v_failed,
		v_cancelled, v_skipped, v_recount
	FROM (SELECT g.flow_id, sum(g.total)::int AS total,
			sum(g.succeeded)::int AS succeeded,
			sum(g.failed)::int AS failed,
			sum(g.cancelled)::int AS cancelled,
			sum(g.skipped)::int AS skipped,
			bool_or(g.recount) AS recount, count(*) FILTER (
				WHERE (g.total, g.succeeded, g.failed,
					g.cancelled, g.skipped)
				<> (0, 0, 0, 0, 0)) AS n
		FROM gone g GROUP BY g.flow_id ORDER BY g.flow_id) s;
	IF v_flow IS NULL THEN
		RETURN 0;
	END IF;
	RETURN v_done + muster.fold_count(v_flow, v_open, v_total, v_succeeded,
		v_failed, v_cancelled, v_skipped, v_recount);
END
$$;

-- The ends of tasks: those of some turns together, of each flow at once.
CREATE OR REPLACE FUNCTION muster.fold_ends(p_limit int)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_at tid[];
	v_mixed boolean;
	v_done int;
	v_flow bigint[];
	v_open int[];
	v_succeeded int[];
	v_failed int[];
	v_cancelled int[];
	v_skipped int[];
	v_recount boolean[];
BEGIN
	SELECT array_agg(e.at), sum(e.n), bool_or(e.mixed)
	INTO v_at, v_done, v_mixed
	FROM (SELECT x.ctid AS at, x.n, cardinality(x.states) > 0 AS mixed,
			sum(x.n) OVER (ORDER BY x.id) - x.n AS before
		FROM muster.flow_ends x
		WHERE x.id >= muster.list_mark('flow_ends')
		ORDER BY x.id LIMIT p_limit) e
	WHERE e.before < p_limit;
	IF v_at IS NULL THEN
		RETURN 0;
	ELSIF v_mixed THEN
		WITH gone AS (
			DELETE FROM muster.flow_ends e WHERE e.ctid = ANY (v_at)
			RETURNING e.flows, e.states
		)
		SELECT array_agg(g.id), array_agg(-g.n), array_agg(g.succeeded),
			array_agg(g.failed), array_agg(g.cancelled),
			array_agg(g.skipped), array_agg(g.succeeded < g.n)
		INTO v_flow, v_open, v_succeeded, v_failed, v_cancelled,
			v_skipped, v_recount
		FROM (SELECT u.id, count(*)::int AS n, (count(*) FILTER (
				WHERE coalesce(u.state, 's') = 's'))::int AS succeeded,
				(count(*) FILTER (WHERE u.state = 'f'))::int AS failed,
				(count(*) FILTER (WHERE u.state = 'c'))::int
					AS cancelled,
				(count(*) FILTER (WHERE u.state = 'k'))::int AS skipped
			FROM (SELECT unnest(d.flows) AS id,
					unnest(d.states) AS state
				FROM gone d) u
			GROUP BY u.id ORDER BY u.id) g;
	ELSE
		WITH gone AS (
			DELETE FROM muster.flow_ends e WHERE e.ctid = ANY (v_at)
			RETURNING e.flows
		)
		SELECT array_agg(g.id), array_agg(-g.n), array_agg(g.n)
		INTO v_flow, v_open, v_succeeded
		FROM (SELECT u.id, count(*)::int AS n
			FROM (SELECT unnest(d.flows) AS id FROM gone d) u
			GROUP BY u.id ORDER BY u.id) g;
	END IF;
	RETURN v_done + muster.fold_count(v_flow, v_open, NULL, v_succeeded,
		v_failed, v_cancelled, v_skipped, v_recount);
END
$$;

-- How many inner steps of this flow, up to p_to, have succeeded and told nobody.
CREATE OR REPLACE FUNCTION muster.inner_succeeded(p_flow bigint, p_to bigint)
RETURNS int LANGUAGE sql STABLE STRICT AS $$
	SELECT count(*)::int FROM muster.task t
	WHERE t.flow_id = p_flow AND t.id <= p_to AND t.sole < 0 AND t.state = 's'
$$;

-- Adds these sums to the flows p_flow (ascending; the update locks them in that
-- order), where a null is all zeros; p_open is by how much more of each is open
-- then. Flows of which nothing is open end, and with them their containers; how
-- many. Of their tasks' ends some may not be counted yet: then something seems to
-- be open. What inner steps did not tell is their number, unless p_recount, now or
-- before, says that it has to be counted. A flow that had ended, and of which a task
-- was deleted, ends no second time; only a container, which may live again, hears of
-- it. All else is looked at once the flows are
-- locked, and those that may not end are put off before anybody sees it: so a flow is
-- updated once. Where the ids lie close, one walk along the index is cheaper than a
-- search for each.
CREATE OR REPLACE FUNCTION muster.fold_count(p_flow bigint[], p_open int[],
	p_total int[], p_succeeded int[], p_failed int[], p_cancelled int[],
	p_skipped int[], p_recount boolean[])
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_first CONSTANT bigint := p_flow[1];
	v_last CONSTANT bigint := p_flow[cardinality(p_flow)];
	v_complete bigint[];
	v_failed bigint[];
	v_nested bigint[];
	v_parents bigint[];
	v_ended bigint[];
BEGIN
	IF v_last - v_first < 4 * cardinality(p_flow) THEN
		WITH counted AS (
			UPDATE muster.flow f SET
				total = f.total + coalesce(p_total[width_bucket(f.id, (SELECT p_flow || '{}'))], 0),
				succeeded = f.succeeded + coalesce(p_succeeded[width_bucket(f.id, (SELECT p_flow || '{}'))], 0),
				failed = f.failed + coalesce(p_failed[width_bucket(f.id, (SELECT p_flow || '{}'))], 0),
				cancelled = f.cancelled + coalesce(p_cancelled[width_bucket(f.id, (SELECT p_flow || '{}'))], 0),
				skipped = f.skipped + coalesce(p_skipped[width_bucket(f.id, (SELECT p_flow || '{}'))], 0),
				recount = f.recount OR coalesce(p_recount[width_bucket(f.id, (SELECT p_flow || '{}'))], false),
				finished_at = CASE WHEN f.total + p_open[width_bucket(f.id, (SELECT p_flow || '{}'))]
					- f.succeeded - f.failed - f.cancelled - f.skipped
					= CASE WHEN f.recount OR coalesce(p_recount[width_bucket(f.id, (SELECT p_flow || '{}'))], false)
					THEN coalesce(muster.inner_succeeded(f.id, f.inner_to), 0)
					ELSE f.inner_steps END
					THEN coalesce(f.finished_at, now()) END,
				state = CASE WHEN f.total + p_open[width_bucket(f.id, (SELECT p_flow || '{}'))]
					- f.succeeded - f.failed - f.cancelled - f.skipped
					<> CASE WHEN f.recount OR coalesce(p_recount[width_bucket(f.id, (SELECT p_flow || '{}'))], false)
					THEN coalesce(muster.inner_succeeded(f.id, f.inner_to), 0)
					ELSE f.inner_steps END
					THEN 'running'
					WHEN f.failed + coalesce(p_failed[width_bucket(f.id, (SELECT p_flow || '{}'))], 0) > 0
					THEN 'failed'
					WHEN f.cancelled + coalesce(p_cancelled[width_bucket(f.id, (SELECT p_flow || '{}'))], 0) > 0
					THEN 'cancelled' ELSE 'succeeded' END,
				error = NULL
			WHERE f.id BETWEEN v_first AND v_last
				AND p_flow[width_bucket(f.id, (SELECT p_flow || '{}'))] = f.id
			RETURNING f.id, f.finished_at IS NOT NULL AS complete,
				f.finished_at = now() OR f.parent_task IS NOT NULL AS new,
				f.failed > 0 AS failed, f.parent_task
		)
		SELECT array_agg(c.id) FILTER (WHERE c.complete AND c.new),
			array_agg(c.id) FILTER (WHERE c.complete AND c.failed),
			array_agg(c.id) FILTER (WHERE c.parent_task IS NOT NULL),
			array_agg(c.parent_task) FILTER (
				WHERE c.parent_task IS NOT NULL)
		INTO v_complete, v_failed, v_nested, v_parents FROM counted c;
	ELSE
		WITH counted AS (
			UPDATE muster.flow f SET
				total = f.total + coalesce(p_total[width_bucket(f.id, (SELECT p_flow || '{}'))], 0),
				succeeded = f.succeeded + coalesce(p_succeeded[width_bucket(f.id, (SELECT p_flow || '{}'))], 0),
				failed = f.failed + coalesce(p_failed[width_bucket(f.id, (SELECT p_flow || '{}'))], 0),
				cancelled = f.cancelled + coalesce(p_cancelled[width_bucket(f.id, (SELECT p_flow || '{}'))], 0),
				skipped = f.skipped + coalesce(p_skipped[width_bucket(f.id, (SELECT p_flow || '{}'))], 0),
				recount = f.recount OR coalesce(p_recount[width_bucket(f.id, (SELECT p_flow || '{}'))], false),
				finished_at = CASE WHEN f.total + p_open[width_bucket(f.id, (SELECT p_flow || '{}'))]
					- f.succeeded - f.failed - f.cancelled - f.skipped
					= CASE WHEN f.recount OR coalesce(p_recount[width_bucket(f.id, (SELECT p_flow || '{}'))], false)
					THEN coalesce(muster.inner_succeeded(f.id, f.inner_to), 0)
					ELSE f.inner_steps END
					THEN coalesce(f.finished_at, now()) END,
				state = CASE WHEN f.total + p_open[width_bucket(f.id, (SELECT p_flow || '{}'))]
					- f.succeeded - f.failed - f.cancelled - f.skipped
					<> CASE WHEN f.recount OR coalesce(p_recount[width_bucket(f.id, (SELECT p_flow || '{}'))], false)
					THEN coalesce(muster.inner_succeeded(f.id, f.inner_to), 0)
					ELSE f.inner_steps END
					THEN 'running'
					WHEN f.failed + coalesce(p_failed[width_bucket(f.id, (SELECT p_flow || '{}'))], 0) > 0
					THEN 'failed'
					WHEN f.cancelled + coalesce(p_cancelled[width_bucket(f.id, (SELECT p_flow || '{}'))], 0) > 0
					THEN 'cancelled' ELSE 'succeeded' END,
				error = NULL
			WHERE f.id = ANY (p_flow)
			RETURNING f.id, f.finished_at IS NOT NULL AS complete,
				f.finished_at = now() OR f.parent_task IS NOT NULL AS new,
				f.failed > 0 AS failed, f.parent_task
		)
		SELECT array_agg(c.id) FILTER (WHERE c.complete AND c.new),
			array_agg(c.id) FILTER (WHERE c.complete AND c.failed),
			array_agg(c.id) FILTER (WHERE c.parent_task IS NOT NULL),
			array_agg(c.parent_task) FILTER (
				WHERE c.parent_task IS NOT NULL)
		INTO v_complete, v_failed, v_nested, v_parents FROM counted c;
	END IF;
	IF v_parents IS NOT NULL THEN
		INSERT INTO muster.expansion (task_id) -- of maps with room again
		SELECT p.task_id FROM muster.container_plan p
		WHERE p.task_id = ANY (v_parents) AND p.created < p.counted
			AND p.max_running IS NOT NULL;
	END IF;
	v_ended := muster.fold_put_off(v_complete, v_nested IS NOT NULL);
	IF v_failed IS NOT NULL OR v_nested IS NOT NULL THEN
		UPDATE muster.flow f SET error = CASE WHEN f.failed > 0
				THEN muster.flow_failures(f.id) END,
			state = CASE WHEN f.state = 'succeeded'
				AND muster.container_cut(f.parent_task)
				THEN 'cancelled' ELSE f.state END
		WHERE f.id = ANY (v_failed || v_nested)
			AND f.finished_at IS NOT NULL;
	END IF;
	IF v_ended IS NULL THEN
		RETURN 0;
	END IF;
	INSERT INTO muster.finished (at, flow_id)
	SELECT clock_timestamp(), u.id FROM unnest(v_ended) u(id)
	WHERE (u.id IN (SELECT unnest(v_nested))) IS NOT TRUE;
	IF v_nested IS NOT NULL THEN
		PERFORM muster.container_ended(v_ended);
	END IF;
	RETURN cardinality(v_ended);
END
$$;

-- Which of these flows (ascending, locked), of which nothing is open, may end:
-- nothing is still being settled, nothing arrives or was added that is not counted,
-- and their containers, if p_nested, can be held. What a task of a flow has
-- enqueued into it before it ended is seen here: as an arrival, or as a delta of
-- its admission, which holds the flow for share. The others go on, and get a delta
-- of nothing so that fold() meets them again.
CREATE OR REPLACE FUNCTION muster.fold_put_off(
	p_flows bigint[], p_nested boolean)
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	v_first CONSTANT bigint := p_flows[1];
	v_last CONSTANT bigint := p_flows[cardinality(p_flows)];
	v_free bigint[] := p_flows;
	v_later bigint[];
BEGIN
	-- Mostly there is nothing for any of them, nor for those in between.
	IF v_last - v_first >= 4 * cardinality(p_flows)
			OR EXISTS (SELECT FROM muster.remainder r
				WHERE r.flow_id BETWEEN v_first AND v_last)
			OR EXISTS (SELECT FROM muster.arriving a
				WHERE a.flow_id BETWEEN v_first AND v_last)
			OR EXISTS (SELECT FROM muster.flow_delta d
				WHERE d.flow_id BETWEEN v_first AND v_last) THEN
		-- OFFSET keeps them searches of an index, a flow each.
		SELECT array_agg(u.id) INTO v_free FROM unnest(p_flows) u(id)
		WHERE NOT EXISTS (SELECT FROM muster.remainder r
				WHERE r.flow_id = u.id OFFSET 0)
			AND NOT EXISTS (SELECT FROM muster.arriving a
				WHERE a.flow_id = u.id OFFSET 0)
			AND NOT EXISTS (SELECT FROM muster.flow_delta d
				WHERE d.flow_id = u.id OFFSET 0);
	END IF;
	IF p_nested THEN
		v_free := muster.container_hold(v_free);
	END IF;
	IF v_free IS DISTINCT FROM p_flows THEN
		v_later := muster.without(p_flows, v_free);
		UPDATE muster.flow f SET finished_at = NULL, state = 'running'
		WHERE f.id = ANY (v_later);
		INSERT INTO muster.flow_delta (flow_id) SELECT unnest(v_later);
	END IF;
	RETURN v_free;
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
