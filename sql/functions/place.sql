-- Placing: where a task that depends on others begins to wait, at admission
-- and when it is brought back.

-- What each need of these tasks counts as for them: `outcome` null: it is yet
-- to come, and an edge will bring it. The tasks and their needs are locked.
-- p_done: a need whose remainder the caller is working off: it counts as ended.
-- A need brought back to life counts as what it was before, until it ends anew,
-- for those that were told of that end (their edge is of an earlier life).
CREATE OR REPLACE FUNCTION muster.place_needs(p_ids bigint[], p_done bigint)
RETURNS TABLE (task_id bigint, need bigint, cond "char", outcome "char",
	present boolean, has_edge boolean, life smallint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	SELECT p.id, u.need, u.cond::"char",
		CASE WHEN t.present IS NULL THEN 'x'
			WHEN e.life IS NULL OR u.need = p_done THEN t.state
			WHEN r.pending THEN CASE WHEN e.life < t.life THEN r.was END
			WHEN t.state IS NOT NULL THEN t.state
			WHEN e.life < t.life THEN t.settled END::"char",
		t.present IS NOT NULL, e.life IS NOT NULL, t.life
	FROM unnest(p_ids) p(id)
	CROSS JOIN LATERAL (SELECT x.ids, x.conds FROM muster.needs x
		WHERE x.task_id = p.id OFFSET 0) n
	CROSS JOIN LATERAL unnest(n.ids, string_to_array(n.conds, NULL))
		u(need, cond)
	LEFT JOIN LATERAL (SELECT true AS present, x.state, x.life, x.settled
		FROM muster.task x WHERE x.id = u.need OFFSET 0) t ON true
	LEFT JOIN LATERAL (SELECT x.life FROM muster.edge x
		WHERE x.need = u.need AND x.task_id = p.id OFFSET 0) e ON true
	LEFT JOIN LATERAL (SELECT true AS pending, x.was
		FROM muster.remainder x
		WHERE x.task_id = u.need AND x.cursor < p.id LIMIT 1) r ON true;
END
$$;

-- Gives each task (ascending, locked with its needs) a place: blocked, scheduled
-- or ready. Those with a need that can't be met any more are not placed but
-- returned.
CREATE OR REPLACE FUNCTION muster.place(
	p_ids bigint[], p_run_at timestamptz[], p_done bigint DEFAULT NULL)
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	v_blocked bigint[];
	v_pending int[];
	v_unmet bigint[];
	v_need bigint[];
	v_dep bigint[];
	v_life smallint[];
	v_cond "char"[];
BEGIN
	WITH n AS MATERIALIZED (
		SELECT x.*, x.outcome IS NOT NULL
			AND NOT muster.edge_met(x.cond, x.outcome) AS unmet
		FROM muster.place_needs(p_ids, p_done) x
	), g AS (
		SELECT n.task_id, bool_or(n.unmet) AS unmet,
			count(*) FILTER (WHERE n.outcome IS NULL)::int AS pending
		FROM n GROUP BY n.task_id
	), e AS (
		SELECT * FROM n WHERE n.outcome IS NULL AND NOT n.has_edge
	)
	SELECT a.*, b.* INTO v_blocked, v_pending, v_unmet, v_need, v_dep,
		v_life, v_cond
	FROM (SELECT array_agg(g.task_id ORDER BY g.task_id)
				FILTER (WHERE NOT g.unmet AND g.pending > 0),
			array_agg(g.pending ORDER BY g.task_id)
				FILTER (WHERE NOT g.unmet AND g.pending > 0),
			array_agg(g.task_id ORDER BY g.task_id)
				FILTER (WHERE g.unmet) FROM g) a,
		(SELECT array_agg(e.need), array_agg(e.task_id),
			array_agg(e.life), array_agg(e.cond) FROM e) b;
	IF v_need IS NOT NULL THEN
		INSERT INTO muster.edge
		SELECT * FROM unnest(v_need, v_dep, v_life, v_cond) u(n, d, l, c)
		WHERE (u.d IN (SELECT unnest(v_unmet))) IS FALSE;
		UPDATE muster.task t SET has_dependents = true
		WHERE t.id = ANY (v_need) AND NOT t.has_dependents;
	END IF;
	INSERT INTO muster.blocked
	SELECT t.id, p_run_at[width_bucket(t.id, p_ids)],
		v_pending[width_bucket(t.id, v_blocked)], 0,
		t.route_id, t.size, t.rank, t.lane, t.ticket, t.lock_id
	FROM muster.task t WHERE t.id = ANY (v_blocked);
	PERFORM muster.place_free(muster.without(p_ids, v_blocked || v_unmet),
		p_ids, p_run_at);
	RETURN v_unmet;
END
$$;

-- The ids of p_ids, ascending, that are not in p_less.
CREATE OR REPLACE FUNCTION muster.without(p_ids bigint[], p_less bigint[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
BEGIN
	IF p_less IS NULL THEN
		RETURN p_ids;
	END IF;
	RETURN ARRAY(SELECT unnest(p_ids) EXCEPT SELECT unnest(p_less)
		ORDER BY 1);
END
$$;

-- Those that wait for no task: for their time, a slot of their key, or a worker.
CREATE OR REPLACE FUNCTION muster.place_free(
	p_free bigint[], p_ids bigint[], p_run_at timestamptz[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_later bigint[];
	v_keyed bigint[];
	v_free bigint[] := p_free;
BEGIN
	WITH put AS (
		INSERT INTO muster.scheduled
			(run_at, task_id, route_id, size, rank, lane, ticket,
			lock_id)
		SELECT p_run_at[width_bucket(t.id, p_ids)], t.id, t.route_id,
			t.size, t.rank, t.lane, t.ticket, t.lock_id
		FROM muster.task t WHERE t.id = ANY (p_free)
			AND p_run_at[width_bucket(t.id, p_ids)] > clock_timestamp()
		RETURNING task_id
	)
	SELECT array_agg(p.task_id) INTO v_later FROM put p;
	IF v_later IS NOT NULL THEN
		PERFORM muster.announce_work();
		v_free := muster.without(v_free, v_later);
	END IF;
	v_keyed := ARRAY(SELECT t.id FROM muster.task t
		WHERE t.id = ANY (v_free) AND t.lock_id IS NOT NULL);
	IF v_keyed <> '{}' THEN
		PERFORM muster.lock_ask(v_keyed);
		v_free := muster.without(v_free, v_keyed);
	END IF;
	PERFORM muster.put_ready(v_free);
END
$$;
