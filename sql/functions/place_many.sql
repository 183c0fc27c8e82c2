-- Placing by pieces: where a task has so many needs that none of them could end for
-- long if all were locked at once.

-- How many needs are locked at once: some 50 ms.
CREATE OR REPLACE FUNCTION muster.needs_at_once()
RETURNS int LANGUAGE sql IMMUTABLE AS $$
	SELECT 1000
$$;

CREATE OR REPLACE FUNCTION muster.has_many(p_id bigint)
RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
	RETURN EXISTS (SELECT FROM muster.needs n WHERE n.task_id = p_id
		AND cardinality(n.ids) > muster.needs_at_once());
END
$$;

-- These tasks (ascending, locked), which have no edges yet, are blocked from now on,
-- as if all of their needs were yet to come; place_piece() looks at them.
CREATE OR REPLACE FUNCTION muster.place_begin(
	p_ids bigint[], p_run_at timestamptz[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO muster.blocked
	SELECT t.id, p_run_at[width_bucket(t.id, p_ids)], n.least,
		n.n - n.least, t.route_id, t.size, t.rank, t.lane, t.ticket,
		t.lock_id
	FROM muster.task t
	CROSS JOIN LATERAL (SELECT cardinality(x.ids) AS n,
			coalesce(x.least, cardinality(x.ids)) AS least
		FROM muster.needs x WHERE x.task_id = t.id OFFSET 0) n
	WHERE t.id = ANY (p_ids);
	INSERT INTO muster.placing (task_id, life)
	SELECT t.id, t.life FROM muster.task t WHERE t.id = ANY (p_ids);
END
$$;

-- Looks at the next p_limit needs: those that are open get an edge, and those that
-- have ended are told to the task now. It waits for the next piece behind all that
-- has arrived, unless it has moved on.
-- Locks: the task and these of its needs together, in order, so that none of them
-- ends meanwhile; then its row of blocked.
CREATE OR REPLACE FUNCTION muster.place_piece(
	p_at muster.placing, p_limit int)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_id CONSTANT bigint := p_at.task_id;
	v_ids bigint[];
	v_conds text;
	v_more boolean;
	v_need bigint[];
	v_life smallint[];
	v_cond "char"[];
	v_met int;
	v_unmet int;
BEGIN
	SELECT n.ids[p_at.placed + 1 : p_at.placed + p_limit],
		substr(n.conds, p_at.placed + 1, p_limit),
		cardinality(n.ids) > p_at.placed + p_limit
	INTO v_ids, v_conds, v_more
	FROM muster.needs n WHERE n.task_id = v_id;
	PERFORM FROM (SELECT FROM muster.task t WHERE t.id = ANY (v_ids || v_id)
		ORDER BY t.id FOR NO KEY UPDATE) l;
	DELETE FROM muster.placing p WHERE p.seq = p_at.seq;
	IF NOT EXISTS (SELECT FROM muster.task t WHERE t.id = v_id
			AND t.state IS NULL AND t.life = p_at.life)
			OR NOT EXISTS (SELECT FROM muster.blocked b
				WHERE b.task_id = v_id) THEN
		RETURN;
	ELSIF v_more THEN
		INSERT INTO muster.placing (task_id, life, placed)
		VALUES (v_id, p_at.life, p_at.placed + p_limit);
	END IF;
	SELECT array_agg(u.need) FILTER (WHERE u.open),
		array_agg(u.life) FILTER (WHERE u.open),
		array_agg(u.cond) FILTER (WHERE u.open),
		count(*) FILTER (WHERE u.met), count(*) FILTER (WHERE NOT u.met)
	INTO v_need, v_life, v_cond, v_met, v_unmet
	FROM (SELECT n.need, t.life, n.cond::"char", t.open,
			CASE WHEN t.open IS NOT TRUE THEN muster.edge_met(
				n.cond::"char", coalesce(t.state, 'x')) END AS met
		FROM unnest(v_ids, string_to_array(v_conds, NULL)) n(need, cond)
		LEFT JOIN LATERAL (SELECT x.life, x.state, x.state IS NULL AS open
			FROM muster.task x WHERE x.id = n.need OFFSET 0) t ON true) u;
	IF v_need IS NOT NULL THEN
		INSERT INTO muster.edge (need, task_id, life, cond)
		SELECT u.n, v_id, u.l, u.c
		FROM unnest(v_need, v_life, v_cond) u(n, l, c);
		UPDATE muster.task t SET has_dependents = true, sole = NULL
		WHERE t.id = ANY (v_need)
			AND (NOT t.has_dependents OR t.sole IS NOT NULL);
	END IF;
	IF v_met + v_unmet > 0 THEN
		PERFORM muster.unblock(ARRAY[v_id], ARRAY[v_met], ARRAY[v_unmet]);
	END IF;
END
$$;

-- Retry of a task with so many needs: they are looked at, then its edges from earlier
-- lives are taken away, a piece a call, and when it is open again it begins as a new
-- task does. Otherwise such an edge might tell it of an end that a piece tells as
-- well. request.cursor: how far that is, both ways one after the other; tally: in
-- which life of the task, and how many needs are not met.

-- The needs whose edges go next: they are to be locked.
CREATE OR REPLACE FUNCTION muster.retry_slice(p_request muster.request)
RETURNS bigint[] LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT n.ids[p_request.cursor - cardinality(n.ids) + 1 :
			p_request.cursor - cardinality(n.ids)
			+ muster.needs_at_once()]
		FROM muster.needs n WHERE n.task_id = p_request.target
			AND p_request.cursor >= cardinality(n.ids));
END
$$;

-- One piece, with the task and retry_slice() locked; true: all of them are done. Where
-- too few needs can be met the request is refused.
CREATE OR REPLACE FUNCTION muster.retry_walked(p_request muster.request)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	v_id CONSTANT bigint := p_request.target;
	v_life smallint;
	v_state "char";
	v_n int;
	v_spare int;
	v_ids bigint[];
	v_conds text;
	v_at int := p_request.cursor;
	v_unmet int := coalesce((p_request.tally -> 'unmet')::int, 0);
	v_more int;
	v_need bigint;
	v_outcome "char";
BEGIN
	SELECT t.life, t.state INTO v_life, v_state
	FROM muster.task t WHERE t.id = v_id;
	SELECT cardinality(n.ids), cardinality(n.ids)
		- coalesce(n.least, cardinality(n.ids))
	INTO v_n, v_spare FROM muster.needs n WHERE n.task_id = v_id;
	IF v_at > 0 AND (p_request.tally -> 'life')::int <> v_life THEN
		v_at := 0; -- it has come back and ended meanwhile
		v_unmet := 0;
	END IF;
	IF v_at >= 2 * v_n THEN
		RETURN true;
	ELSIF v_at >= v_n THEN
		v_ids := muster.retry_slice(p_request);
		DELETE FROM muster.edge e WHERE e.ctid = ANY (ARRAY(
			SELECT x.at FROM unnest(v_ids) u(need)
			CROSS JOIN LATERAL (SELECT y.ctid AS at FROM muster.edge y
				WHERE y.need = u.need AND y.task_id = v_id
				OFFSET 0) x));
		UPDATE muster.task t SET sole = NULL
		WHERE t.id = ANY (v_ids) AND t.sole IS NOT NULL;
		v_at := v_at + cardinality(v_ids);
	ELSE
		SELECT n.ids[v_at + 1 : v_at + muster.needs_at_once()],
			substr(n.conds, v_at + 1, muster.needs_at_once())
		INTO v_ids, v_conds FROM muster.needs n WHERE n.task_id = v_id;
		SELECT count(*), min(u.need), (array_agg(u.state ORDER BY u.need))[1]
		INTO v_more, v_need, v_outcome
		FROM (SELECT n.need, t.state
			FROM unnest(v_ids, string_to_array(v_conds, NULL))
				n(need, cond)
			LEFT JOIN LATERAL (SELECT x.id, x.state FROM muster.task x
				WHERE x.id = n.need OFFSET 0) t ON true
			WHERE CASE WHEN t.id IS NULL OR t.state IS NOT NULL
				THEN NOT muster.edge_met(n.cond::"char",
					coalesce(t.state, 'x')) END) u;
		v_at := v_at + cardinality(v_ids);
		v_unmet := v_unmet + v_more;
		IF v_unmet > v_spare THEN
			PERFORM muster.answer(p_request.id, 'refused',
				muster.retry_refused(v_id, v_state, v_need, v_outcome));
			RETURN false;
		END IF;
	END IF;
	UPDATE muster.request SET cursor = v_at, tally = jsonb_build_object(
		'life', v_life, 'unmet', v_unmet)
	WHERE id = p_request.id;
	RETURN false;
END
$$;
