-- Placing by pieces: where a task has so many needs that none of them could end for
-- long if all were locked at once.

-- How many needs are locked at once: some 50 ms.
CREATE OR REPLACE FUNCTION muster.needs_at_once()
RETURNS int LANGUAGE sql IMMUTABLE AS $$
	SELECT 1000
$$;

-- Those of these tasks that have more.
CREATE OR REPLACE FUNCTION muster.with_many(p_ids bigint[])
RETURNS bigint[] LANGUAGE plpgsql STABLE AS $$
BEGIN
	RETURN ARRAY(SELECT n.task_id FROM muster.needs n
		WHERE n.task_id = ANY (p_ids)
			AND cardinality(n.ids) > muster.needs_at_once()
		ORDER BY n.task_id);
END
$$;

-- How many needs the next piece has: as many as take some 15 ms here and now, which
-- this session has learned from the last one.
CREATE OR REPLACE FUNCTION muster.piece_size()
RETURNS int LANGUAGE plpgsql STABLE AS $$
BEGIN
	RETURN least(coalesce(nullif(current_setting('muster.piece', true), ''),
		'100')::int, muster.needs_at_once());
END
$$;

CREATE OR REPLACE FUNCTION muster.piece_took(p_n int, p_took interval)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('muster.piece', least(greatest(p_n * 0.015
		/ nullif(extract(epoch FROM p_took), 0), 100), 1000)::int::text, false);
END
$$;

-- So much is added to what a task of an earlier life is said to wait for, and to what
-- it can spare, while it may be told of ends by edges that it had then.
CREATE OR REPLACE FUNCTION muster.place_guard()
RETURNS int LANGUAGE sql IMMUTABLE AS $$
	SELECT 1 << 30
$$;

-- These tasks (ascending, locked) are blocked from now on, as if all of their needs
-- were yet to come; place_piece() looks at them. placing.placed: how many it has
-- looked at; below 0: of how many it is first to take away the edges.
CREATE OR REPLACE FUNCTION muster.place_begin(
	p_ids bigint[], p_run_at timestamptz[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO muster.blocked
	SELECT t.id, p_run_at[width_bucket(t.id, p_ids)], n.least + g.guard,
		n.n - n.least + g.guard, t.route_id, t.size, t.rank, t.lane,
		t.ticket, t.lock_id
	FROM muster.task t
	CROSS JOIN LATERAL (SELECT cardinality(x.ids) AS n,
			coalesce(x.least, cardinality(x.ids)) AS least
		FROM muster.needs x WHERE x.task_id = t.id OFFSET 0) n
	CROSS JOIN LATERAL (SELECT CASE WHEN t.life > 0
		THEN muster.place_guard() ELSE 0 END AS guard OFFSET 0) g
	WHERE t.id = ANY (p_ids);
	INSERT INTO muster.placing (task_id, life, placed)
	SELECT t.id, t.life, CASE WHEN t.life > 0 THEN -n.n ELSE 0 END
	FROM muster.task t
	CROSS JOIN LATERAL (SELECT cardinality(x.ids) AS n
		FROM muster.needs x WHERE x.task_id = t.id OFFSET 0) n
	WHERE t.id = ANY (p_ids);
	PERFORM muster.announce_work();
END
$$;

-- The next p_limit needs. It waits for the next piece behind all that has arrived,
-- unless it has moved on.
-- Locks: the task and these of its needs together, in order, so that none of them
-- ends meanwhile; then its row of blocked.
CREATE OR REPLACE FUNCTION muster.place_piece(
	p_at muster.placing, p_limit int)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_from CONSTANT timestamptz := clock_timestamp();
	v_id CONSTANT bigint := p_at.task_id;
	v_n int;
	v_ids bigint[];
	v_conds text;
BEGIN
	SELECT x.n, n.ids[x.at + 1 : x.at + p_limit],
		substr(n.conds, x.at + 1, p_limit)
	INTO v_n, v_ids, v_conds
	FROM muster.needs n
	CROSS JOIN LATERAL (SELECT cardinality(n.ids) AS n, p_at.placed
		+ CASE WHEN p_at.placed < 0 THEN cardinality(n.ids) ELSE 0 END
		AS at OFFSET 0) x
	WHERE n.task_id = v_id;
	PERFORM FROM (SELECT FROM muster.task t WHERE t.id = ANY (v_ids || v_id)
		ORDER BY t.id FOR NO KEY UPDATE) l;
	DELETE FROM muster.placing p WHERE p.seq = p_at.seq;
	IF NOT EXISTS (SELECT FROM muster.task t WHERE t.id = v_id
			AND t.state IS NULL AND t.life = p_at.life)
			OR NOT EXISTS (SELECT FROM muster.blocked b
				WHERE b.task_id = v_id) THEN
		RETURN;
	ELSIF p_at.placed + cardinality(v_ids) < v_n THEN
		INSERT INTO muster.placing (task_id, life, placed)
		VALUES (v_id, p_at.life, p_at.placed + cardinality(v_ids));
	END IF;
	IF p_at.placed < 0 THEN
		PERFORM muster.piece_clear(p_at, v_ids);
	ELSE
		PERFORM muster.piece_tell(p_at, v_ids, v_conds);
	END IF;
	PERFORM muster.piece_took(cardinality(v_ids),
		clock_timestamp() - v_from);
END
$$;

-- Takes away the edges of an earlier life, so that no need tells by such a one what a
-- piece tells as well. Whatever they have told since is forgotten with the last.
CREATE OR REPLACE FUNCTION muster.piece_clear(
	p_at muster.placing, p_needs bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM muster.edge e WHERE e.ctid = ANY (ARRAY(
		SELECT x.at FROM unnest(p_needs) u(need)
		CROSS JOIN LATERAL (SELECT y.ctid AS at FROM muster.edge y
			WHERE y.need = u.need AND y.task_id = p_at.task_id
			OFFSET 0) x));
	PERFORM muster.sole_no_more(p_needs);
	IF p_at.placed + cardinality(p_needs) = 0 THEN
		UPDATE muster.blocked b SET (need, spare) = (
			SELECT coalesce(n.least, cardinality(n.ids)),
				cardinality(n.ids)
				- coalesce(n.least, cardinality(n.ids))
			FROM muster.needs n WHERE n.task_id = b.task_id)
		WHERE b.task_id = p_at.task_id;
	END IF;
END
$$;

-- Those that are open get an edge, and those that have ended are told to the task now.
-- Of one that was brought back these, too, get an edge, as they had: it may be
-- skipped, and come back when they have ended again. What has ended and is yet to tell
-- of that tells it by such an edge.
CREATE OR REPLACE FUNCTION muster.piece_tell(
	p_at muster.placing, p_needs bigint[], p_conds text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_id CONSTANT bigint := p_at.task_id;
	v_again CONSTANT boolean := p_at.life > 0;
	v_need bigint[];
	v_life smallint[];
	v_cond "char"[];
	v_met int;
	v_unmet int;
BEGIN
	SELECT array_agg(u.need) FILTER (WHERE u.met IS NULL OR v_again AND u.there),
		array_agg(u.life) FILTER (WHERE u.met IS NULL OR v_again AND u.there),
		array_agg(u.cond) FILTER (WHERE u.met IS NULL OR v_again AND u.there),
		count(*) FILTER (WHERE u.met), count(*) FILTER (WHERE NOT u.met)
	INTO v_need, v_life, v_cond, v_met, v_unmet
	FROM (SELECT n.need, n.cond::"char", t.life, t.there IS TRUE AS there,
			CASE WHEN (t.open OR (v_again OR t.state = 'f') AND EXISTS (
				SELECT FROM muster.remainder r
				WHERE r.task_id = n.need AND r.cursor < v_id))
				IS NOT TRUE THEN muster.edge_met(n.cond::"char",
					coalesce(t.state, 'x')) END AS met
		FROM unnest(p_needs, string_to_array(p_conds, NULL)) n(need, cond)
		LEFT JOIN LATERAL (SELECT true AS there, x.life, x.state,
				x.state IS NULL AS open
			FROM muster.task x WHERE x.id = n.need OFFSET 0) t ON true) u;
	IF v_need IS NOT NULL THEN
		INSERT INTO muster.edge (need, task_id, life, cond)
		SELECT u.n, v_id, u.l, u.c
		FROM unnest(v_need, v_life, v_cond) u(n, l, c);
		PERFORM muster.sole_no_more(v_need);
	END IF;
	IF v_met + v_unmet > 0 THEN
		PERFORM muster.unblock(ARRAY[v_id], ARRAY[v_met], ARRAY[v_unmet]);
	END IF;
END
$$;

-- Looks, before a task with so many needs is retried, whether enough of them can be
-- met, a piece a call and without locks: what becomes of them afterwards the pieces
-- find out. True: all of them were looked at. Where too few can be met the request is
-- refused. request.cursor: how far that is; tally: in which life of the task, and how
-- many needs are not met.
CREATE OR REPLACE FUNCTION muster.retry_looked(p_request muster.request)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	v_id CONSTANT bigint := p_request.target;
	v_life smallint;
	v_state "char";
	v_n int;
	v_spare int;
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
	IF v_at >= v_n THEN
		RETURN true;
	END IF;
	SELECT count(*), min(u.need), (array_agg(u.state ORDER BY u.need))[1]
	INTO v_more, v_need, v_outcome
	FROM (SELECT n.need, t.state
		FROM muster.needs x
		CROSS JOIN LATERAL unnest(
			x.ids[v_at + 1 : v_at + muster.needs_at_once()],
			string_to_array(substr(x.conds, v_at + 1,
				muster.needs_at_once()), NULL)) n(need, cond)
		LEFT JOIN LATERAL (SELECT y.id, y.state FROM muster.task y
			WHERE y.id = n.need OFFSET 0) t ON true
		WHERE x.task_id = v_id
		AND CASE WHEN t.id IS NULL OR t.state IS NOT NULL
			THEN NOT muster.edge_met(n.cond::"char",
				coalesce(t.state, 'x')) END) u;
	IF v_unmet + v_more > v_spare THEN
		PERFORM muster.answer(p_request.id, 'refused',
			muster.retry_refused(v_id, v_state, v_need, v_outcome));
	ELSE
		UPDATE muster.request
		SET cursor = least(v_at + muster.needs_at_once(), v_n),
			tally = jsonb_build_object('life', v_life,
				'unmet', v_unmet + v_more)
		WHERE id = p_request.id;
	END IF;
	RETURN false;
END
$$;
