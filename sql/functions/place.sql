-- Placing: where a task that depends on others begins to wait, at admission
-- and when it is brought back.

-- What each need of these tasks counts as for them: `outcome` null: it is yet
-- to come, and an edge will bring it; `fresh`: that edge, which may have to be
-- made, is then of this `life`. The tasks and their needs are locked. A member of
-- a set that comes back has no edges of its own yet: those of the set stand for
-- them, and all of them are to be made.
-- p_again: those that the caller is about to open again (ascending). What is
-- open counts as yet to come, whatever an earlier life of it was, and so does what
-- ended again and has not told so yet: its edge is made anew, so that it tells this
-- task of that end as if it were the first.
CREATE OR REPLACE FUNCTION muster.place_needs(
	p_ids bigint[], p_again bigint[])
RETURNS TABLE (task_id bigint, wanted int, need bigint, cond "char",
	outcome "char", fresh boolean, life smallint, edge_life smallint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	SELECT p.id, n.least, u.need, u.cond::"char",
		CASE WHEN t.present IS NULL THEN 'x'
			WHEN t.again OR t.state IS NULL THEN NULL
			WHEN coalesce(e.life, s.life) IS NULL THEN t.state
			WHEN r.pending THEN NULL
			ELSE t.state END::"char",
		t.again OR t.present AND (t.state IS NULL
			OR e.life IS NOT NULL AND r.pending
			OR e.life IS NULL AND s.life IS NOT NULL),
		(t.life + t.again::int)::smallint, e.life
	FROM unnest(p_ids) p(id)
	CROSS JOIN LATERAL (SELECT x.ids, x.conds, x.least, (SELECT y.set_id
			FROM muster.task y WHERE y.id = x.task_id) AS set_id
		FROM muster.needs x WHERE x.task_id = p.id OFFSET 0) n
	CROSS JOIN LATERAL unnest(n.ids, string_to_array(n.conds, NULL))
		u(need, cond)
	LEFT JOIN LATERAL (SELECT true AS present, x.state, x.life,
			coalesce(p_again[width_bucket(x.id, p_again)] = x.id,
				false) AS again
		FROM muster.task x WHERE x.id = u.need OFFSET 0) t ON true
	LEFT JOIN LATERAL (SELECT x.life FROM muster.edge x
		WHERE x.need = u.need AND x.task_id = p.id OFFSET 0) e ON true
	LEFT JOIN LATERAL (SELECT x.life FROM muster.edge x
		WHERE x.need = u.need AND x.task_id = n.set_id OFFSET 0) s ON true
	LEFT JOIN LATERAL (SELECT true AS pending FROM muster.remainder x
		WHERE x.task_id = u.need AND x.cursor < p.id LIMIT 1) r ON true;
END
$$;

-- Gives each task (ascending, locked with its needs) a place: blocked, scheduled
-- or ready. Those of whose needs too few can be met any more are not placed but
-- returned. p_again: as place_needs().
CREATE OR REPLACE FUNCTION muster.place(
	p_ids bigint[], p_run_at timestamptz[], p_again bigint[] DEFAULT NULL)
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	v_blocked bigint[];
	v_left int[];
	v_spare int[];
	v_unmet bigint[];
	v_need bigint[];
	v_dep bigint[];
	v_life smallint[];
	v_cond "char"[];
BEGIN
	WITH n AS MATERIALIZED (
		SELECT x.*, CASE WHEN x.outcome IS NOT NULL
			THEN muster.edge_met(x.cond, x.outcome) END AS met
		FROM muster.place_needs(p_ids, p_again) x
	), c AS (
		SELECT n.task_id, coalesce(max(n.wanted), count(*))
				- count(*) FILTER (WHERE n.met) AS need,
			count(*) - coalesce(max(n.wanted), count(*))
				- count(*) FILTER (WHERE NOT n.met) AS spare
		FROM n GROUP BY n.task_id
	), e AS (
		SELECT * FROM n WHERE n.fresh
			AND n.edge_life IS DISTINCT FROM n.life
	)
	SELECT a.*, b.* INTO v_blocked, v_left, v_spare, v_unmet, v_need,
		v_dep, v_life, v_cond
	FROM (SELECT array_agg(c.task_id ORDER BY c.task_id)
				FILTER (WHERE c.spare >= 0 AND c.need > 0),
			array_agg(c.need ORDER BY c.task_id)
				FILTER (WHERE c.spare >= 0 AND c.need > 0),
			array_agg(c.spare ORDER BY c.task_id)
				FILTER (WHERE c.spare >= 0 AND c.need > 0),
			array_agg(c.task_id ORDER BY c.task_id)
				FILTER (WHERE c.spare < 0) FROM c) a,
		(SELECT array_agg(e.need), array_agg(e.task_id),
			array_agg(e.life), array_agg(e.cond) FROM e) b;
	IF v_need IS NOT NULL THEN
		INSERT INTO muster.edge
		SELECT * FROM unnest(v_need, v_dep, v_life, v_cond) u(n, d, l, c)
		WHERE (u.d IN (SELECT unnest(v_unmet))) IS FALSE
		ON CONFLICT (need, task_id) DO UPDATE SET life = excluded.life;
		PERFORM muster.sole_no_more(v_need);
	END IF;
	INSERT INTO muster.blocked
	SELECT t.id, p_run_at[width_bucket(t.id, p_ids)],
		v_left[width_bucket(t.id, v_blocked)],
		v_spare[width_bucket(t.id, v_blocked)],
		t.route_id, t.size, t.rank, t.lane, t.ticket, t.lock_id
	FROM muster.task t WHERE t.id = ANY (v_blocked);
	PERFORM muster.place_free(muster.without(p_ids, v_blocked || v_unmet),
		p_ids, p_run_at);
	RETURN v_unmet;
END
$$;

-- These tasks, locked by the caller, have edges to more than they had: none of them
-- frees one alone. An inner step that has not succeeded yet is told to its flow from
-- now on; of one that has its flow counts the mark.
CREATE OR REPLACE FUNCTION muster.sole_no_more(p_ids bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO muster.flow_delta (flow_id, recount)
	SELECT t.flow_id, true FROM muster.task t
	WHERE t.id = ANY (p_ids) AND t.sole < 0 AND (t.state = 's') IS NOT TRUE
	GROUP BY t.flow_id;
	UPDATE muster.task t SET has_dependents = true, sole = NULL
	WHERE t.id = ANY (p_ids) AND (NOT t.has_dependents OR t.sole > 0
		OR t.sole < 0 AND (t.state = 's') IS NOT TRUE);
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

-- The tasks of p_ids that stand in a set, and the id of its row of `blocked`: they
-- are neither ended nor brought back since. The tasks are locked.
CREATE OR REPLACE FUNCTION muster.set_places(p_ids bigint[])
RETURNS TABLE (task_id bigint, set_id bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	SELECT t.id, t.set_id
	FROM muster.task t
	CROSS JOIN LATERAL (SELECT FROM muster.blocked b
		WHERE b.task_id = t.set_id AND b.ticket = t.ticket OFFSET 0) b
	WHERE t.id = ANY (p_ids) AND t.set_id IS NOT NULL AND t.state IS NULL;
END
$$;

-- The members of these sets that still exist, whatever became of them: their ids
-- come right before that of the set.
CREATE OR REPLACE FUNCTION muster.set_members(p_sets bigint[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
BEGIN
	RETURN ARRAY(SELECT m.id FROM unnest(p_sets) s(id)
		CROSS JOIN LATERAL (SELECT t.id FROM muster.task t
			WHERE t.id BETWEEN s.id - 16 AND s.id - 1
				AND t.set_id = s.id OFFSET 0) m);
END
$$;
