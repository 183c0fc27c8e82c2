-- Admission: what clients could not settle themselves, because it touches
-- standing tasks, flows or keys, finds its place right after their commit.

-- Admits up to p_limit arrivals; how many, or p_limit if there are more. Who has more
-- needs than are locked at once begins to wait, and then stands in line here with each
-- piece of them, which is a call of its own. One at a time in the database.
-- Locks: the arrivals' tasks and their needs together, in order, so that
-- none of these ends meanwhile; flow for share; as lock_wait(); then it inserts. Or
-- as place_piece(), then as lock_wait().
CREATE OR REPLACE FUNCTION muster.admit(p_limit int)
RETURNS int LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
	v_piece muster.placing;
	v_ids bigint[];
	v_few bigint[]; -- of v_ids, those that come with needs
	v_many bigint[]; -- those with more of them
	v_needs bigint[];
	v_placed bigint[];
	v_run_at timestamptz[];
	v_begun bigint[];
	v_begun_at timestamptz[];
	v_unmet bigint[];
	v_asking bigint[];
	v_more boolean;
BEGIN
	PERFORM muster.check_isolation();
	IF NOT pg_try_advisory_xact_lock(hashtext('muster admit')) THEN
		RETURN 0;
	END IF;
	SELECT * INTO v_piece FROM muster.placing p
	WHERE p.seq >= muster.list_mark('arriving') ORDER BY p.seq LIMIT 1;
	IF FOUND AND NOT EXISTS (SELECT FROM muster.arriving a
			WHERE a.replaces IS NULL
				AND a.seq >= muster.list_mark('arriving')
				AND a.seq < v_piece.seq) THEN
		PERFORM muster.place_piece(v_piece,
			least(p_limit, muster.piece_size()));
		RETURN p_limit + muster.lock_wait('{}');
	END IF;
	SELECT n.o_ids, n.o_few, n.o_many, n.o_more OR n.o_many IS NOT NULL
		OR v_piece.seq IS NOT NULL
	INTO v_ids, v_few, v_many, v_more
	FROM muster.admit_next(p_limit) n;
	v_needs := ARRAY(SELECT unnest(n.ids) FROM muster.needs n
		WHERE n.task_id = ANY (v_few));
	PERFORM FROM (SELECT FROM muster.task t
		WHERE t.id = ANY (v_ids || v_needs)
		ORDER BY t.id FOR NO KEY UPDATE) l;
	-- Those that were cancelled meanwhile arrive no more.
	SELECT array_agg(a.task_id ORDER BY a.task_id) INTO v_ids
	FROM muster.arriving a WHERE a.task_id = ANY (v_ids);
	IF v_ids IS NULL THEN
		RETURN CASE WHEN v_more THEN p_limit ELSE 0 END
			+ muster.lock_wait('{}');
	END IF;
	SELECT array_agg(a.task_id ORDER BY a.task_id) INTO v_placed
	FROM muster.arriving a WHERE a.task_id = ANY (v_ids) AND NOT a.asks;
	IF v_placed IS NOT NULL THEN
		PERFORM muster.admit_flows(v_placed);
		SELECT array_agg(a.task_id ORDER BY a.task_id)
				FILTER (WHERE NOT a.many),
			array_agg(a.run_at ORDER BY a.task_id)
				FILTER (WHERE NOT a.many),
			array_agg(a.task_id ORDER BY a.task_id)
				FILTER (WHERE a.many),
			array_agg(a.run_at ORDER BY a.task_id)
				FILTER (WHERE a.many)
		INTO v_placed, v_run_at, v_begun, v_begun_at
		FROM (SELECT x.task_id, x.run_at,
				(x.task_id = ANY (v_many)) IS TRUE AS many
			FROM muster.arriving x
			WHERE x.task_id = ANY (v_placed)) a
		WHERE EXISTS (SELECT FROM muster.task t
			WHERE t.id = a.task_id AND t.state IS NULL);
	END IF;
	IF v_begun IS NOT NULL THEN
		PERFORM muster.place_begin(v_begun, v_begun_at);
	END IF;
	IF v_placed IS NOT NULL THEN
		v_unmet := muster.place(v_placed, v_run_at);
		IF v_unmet IS NOT NULL THEN
			PERFORM muster.skip(v_unmet);
		END IF;
	END IF;
	v_asking := ARRAY(SELECT a.task_id FROM muster.arriving a
		WHERE a.task_id = ANY (v_ids) AND a.asks AND EXISTS (
			SELECT FROM muster.task t
			WHERE t.id = a.task_id AND t.state IS NULL)
		ORDER BY a.task_id);
	DELETE FROM muster.arriving a WHERE a.task_id = ANY (v_ids);
	RETURN CASE WHEN v_more THEN p_limit
		ELSE cardinality(v_ids) END + muster.lock_wait(v_asking);
END
$$;

-- The next up to p_limit arrivals (o_ids). o_few of them come with needs, as many
-- together unless one alone has more: whoever ends one of these waits until they are
-- placed. o_many have more than are locked at once. o_more: there are more arrivals.
-- Who only asks for its key has no needs any more.
CREATE OR REPLACE FUNCTION muster.admit_next(p_limit int, OUT o_ids bigint[],
	OUT o_few bigint[], OUT o_many bigint[], OUT o_more boolean)
LANGUAGE plpgsql AS $$
DECLARE
	v_most CONSTANT int := muster.needs_at_once();
BEGIN
	SELECT array_agg(n.task_id) FILTER (WHERE n.fits),
		array_agg(n.task_id) FILTER (WHERE n.fits AND n.needs <= v_most),
		array_agg(n.task_id) FILTER (WHERE n.fits AND n.needs > v_most),
		count(*) = p_limit OR NOT bool_and(n.fits)
	INTO o_ids, o_few, o_many, o_more
	FROM (SELECT a.task_id, a.needs, row_number() OVER w = 1
			OR sum(CASE WHEN a.needs <= v_most THEN a.needs ELSE 0 END)
				OVER w <= least(p_limit, v_most) AS fits
		FROM (SELECT y.task_id, y.seq, CASE WHEN NOT y.asks THEN (
				SELECT cardinality(x.ids) FROM muster.needs x
				WHERE x.task_id = y.task_id) END AS needs
			FROM muster.arriving y
			WHERE y.replaces IS NULL
				AND y.seq >= muster.list_mark('arriving')
			ORDER BY y.seq LIMIT p_limit) a
		WINDOW w AS (ORDER BY a.seq)) n;
END
$$;

-- Tasks that join a flow count in it, and their failures stop it if it says so. Those
-- that came too late are cancelled and not placed: while the flow is being stopped they
-- count in it, and when it has ended they leave it, which stays what it was.
CREATE OR REPLACE FUNCTION muster.admit_flows(p_ids bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_flows bigint[];
	v_open bigint[];
	v_fast bigint[];
	v_stopping bigint[];
	v_late bigint[];
BEGIN
	SELECT array_agg(DISTINCT t.flow_id) INTO v_flows FROM muster.task t
	WHERE t.id = ANY (p_ids) AND t.flow_id IS NOT NULL;
	IF v_flows IS NULL THEN
		RETURN;
	END IF;
	SELECT array_agg(f.id) FILTER (WHERE f.open),
		array_agg(f.id) FILTER (WHERE f.open AND f.fail_fast),
		array_agg(f.id) FILTER (WHERE f.open AND (f.stopped
			OR f.fail_fast AND muster.flow_fails(f.id)))
	INTO v_open, v_fast, v_stopping
	FROM (SELECT x.id, x.stopped, x.fail_fast, x.finished_at IS NULL AS open
		FROM muster.flow x
		WHERE x.id = ANY (v_flows) ORDER BY x.id FOR SHARE) f;
	INSERT INTO muster.flow_delta (flow_id, total)
	SELECT t.flow_id, count(*) FROM muster.task t
	WHERE t.id = ANY (p_ids) AND t.flow_id = ANY (v_open)
	GROUP BY t.flow_id;
	UPDATE muster.task t SET fail_fast = true
	WHERE t.id = ANY (p_ids) AND t.flow_id = ANY (v_fast);
	WITH late AS (
		UPDATE muster.task t SET state = 'c', finished_at = now(),
			flow_id = CASE WHEN t.flow_id = ANY (v_stopping)
				THEN t.flow_id END,
			error = format(CASE WHEN t.flow_id = ANY (v_stopping)
				THEN 'flow %s was being cancelled'
				ELSE 'flow %s had ended' END, t.flow_id)
		WHERE t.id = ANY (p_ids) AND t.flow_id IS NOT NULL
			AND t.flow_id <> ALL (muster.without(
				coalesce(v_open, '{}'), v_stopping))
		RETURNING t.id
	)
	SELECT array_agg(l.id ORDER BY l.id) INTO v_late FROM late l;
	IF v_late IS NOT NULL THEN
		PERFORM muster.settle_final(v_late, p_bare => v_late);
	END IF;
END
$$;
