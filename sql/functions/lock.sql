-- Concurrency keys: at most so many tasks of a key are ready or running. Who
-- ends a task hands its slot to the head of the key's line in the same
-- transaction; only admission puts tasks into the line.
--
-- A hand-over takes no mutex: the slot is the finisher's own, and whoever is
-- popped by somebody else meanwhile is stepped over. A slot for which no heir
-- is seen is given back under the key's mutex. Nobody but admission waits for
-- that: if it is taken, a row in lock_freed says it, and admission, which
-- follows, does the rest. So a turn may come here as often as it likes.

-- The number of a key.
CREATE OR REPLACE FUNCTION muster.lock_number(p_key text)
RETURNS bigint LANGUAGE sql IMMUTABLE STRICT AS $$
	SELECT hashtextextended(p_key, 0)
$$;

-- The routes from which nothing is claimed now: their tasks hold up no key.
CREATE OR REPLACE FUNCTION muster.lock_shut()
RETURNS int[] LANGUAGE plpgsql STABLE AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM muster.paused) THEN
		RETURN '{}';
	END IF;
	RETURN ARRAY(SELECT r.id FROM muster.paused p
		CROSS JOIN LATERAL (SELECT x.id FROM muster.route x
			WHERE x.queue = p.queue OR x.kind = p.kind OFFSET 0) r);
END
$$;

-- These tasks wait for nothing more but a slot of their key: admission decides.
CREATE OR REPLACE FUNCTION muster.lock_ask(p_ids bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO muster.arriving (task_id, wakes, asks)
	SELECT u.id, false, true FROM unnest(p_ids) u(id)
	ON CONFLICT (task_id) DO UPDATE SET asks = true;
	PERFORM muster.announce_work();
END
$$;

-- A slot of each of these keys is free (one of several: it stands there as
-- often). Locks: waiting and lock_key, both stepping over what others hold.
CREATE OR REPLACE FUNCTION muster.lock_free(p_locks bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_left bigint[];
	v_left_counts int[];
	v_far bigint[];
BEGIN
	SELECT p.o_left, p.o_counts, p.o_far
	INTO v_left, v_left_counts, v_far
	FROM muster.lock_pop(p_locks, NULL) p;
	IF v_left IS NOT NULL OR v_far IS NOT NULL THEN
		PERFORM muster.lock_return(v_left, v_left_counts, v_far);
	END IF;
END
$$;

-- Gives up to p_counts[i] slots of p_locks[i] (null: one for each time that the
-- key stands there) to those who wait for them, the urgent first; one call in 16
-- begins with the least urgent, whom nobody overtakes, so that nobody waits for ever. o_left: the keys
-- for which slots are left over, ascending, o_counts: how many. o_far: keys whose
-- floor should be moved.
-- Locks: waiting, stepping over what others hold.
CREATE OR REPLACE FUNCTION muster.lock_pop(p_locks bigint[], p_counts int[],
	OUT o_left bigint[], OUT o_counts int[], OUT o_far bigint[])
LANGUAGE plpgsql AS $$
DECLARE
	v_last CONSTANT boolean := random() < 1.0 / 16;
	v_shut int[] := muster.lock_shut();
	v_closed bigint[] := ARRAY(SELECT c.lock_id FROM muster.lock_closed c);
	v_got bigint[];
	v_routes int[];
BEGIN
	WITH w AS MATERIALIZED (
		SELECT y.*, NOT v_last AND (y.line > f.line
			OR hashint8(y.seq) & 511 = 0) AS far
		FROM (SELECT u.id, sum(coalesce(u.n, 1)) AS n
			FROM unnest(p_locks, p_counts) u(id, n)
			GROUP BY u.id ORDER BY u.id) k
		LEFT JOIN LATERAL (SELECT x.line, x.seq FROM muster.lock_floor x
			WHERE x.lock_id = k.id ORDER BY x.gen DESC LIMIT 1) f ON true
		LEFT JOIN LATERAL (SELECT x.line FROM muster.waiting x
			WHERE v_last AND x.lock_id = k.id
				AND x.route_id <> ALL (v_shut)
			ORDER BY x.line DESC, x.seq DESC LIMIT 1) l ON true
		CROSS JOIN LATERAL (SELECT x.ctid AS place, x.*
			FROM muster.waiting x
			WHERE x.lock_id = k.id AND (x.line, x.seq)
				>= (greatest(l.line, f.line, -20000),
				CASE WHEN l.line > f.line THEN 0
					ELSE coalesce(f.seq, 0) END)
				AND x.route_id <> ALL (v_shut)
			ORDER BY x.line, x.seq LIMIT k.n FOR UPDATE SKIP LOCKED) y
		WHERE k.id <> ALL (v_closed)
	), gone AS (
		DELETE FROM muster.waiting x
		WHERE x.ctid = ANY (ARRAY(SELECT w.place FROM w))
	), put AS (
		INSERT INTO muster.ready (seq, task_id, at, route_id, size, rank,
			lane, ticket, lock_id, aged)
		SELECT nextval('muster.ready_seq'), g.task_id, now(), g.route_id,
			g.size, g.line >> 4, g.line & 15, g.ticket, g.lock_id,
			nullif(v_last, false)
		FROM (SELECT * FROM w ORDER BY w.task_id) g
	)
	SELECT array_agg(w.lock_id), array_agg(w.route_id),
		array_agg(w.lock_id) FILTER (WHERE w.far)
	INTO v_got, v_routes, o_far FROM w;
	PERFORM muster.announce(v_routes);
	IF cardinality(v_got) = (SELECT sum(coalesce(u.n, 1))
			FROM unnest(p_locks, p_counts) u(id, n)) THEN
		RETURN;
	END IF;
	SELECT array_agg(u.id), array_agg(u.n)
	INTO o_left, o_counts
	FROM (SELECT x.id, sum(x.n)::int AS n
		FROM (SELECT y.id, coalesce(y.n, 1) AS n
			FROM unnest(p_locks, p_counts) y(id, n)
			UNION ALL SELECT g.id, -1 FROM unnest(v_got) g(id)) x
		GROUP BY x.id HAVING sum(x.n) > 0 ORDER BY x.id) u;
END
$$;

-- Those of p_locks in whose line somebody stands who could run, were there a slot.
CREATE OR REPLACE FUNCTION muster.lock_lined(p_locks bigint[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	v_shut int[] := muster.lock_shut();
	v_closed bigint[] := ARRAY(SELECT c.lock_id FROM muster.lock_closed c);
BEGIN
	RETURN (SELECT array_agg(k.id)
		FROM unnest(p_locks) k(id)
		LEFT JOIN LATERAL (SELECT x.line, x.seq FROM muster.lock_floor x
			WHERE x.lock_id = k.id ORDER BY x.gen DESC LIMIT 1) f ON true
		CROSS JOIN LATERAL (SELECT FROM muster.waiting y
			WHERE y.lock_id = k.id
				AND (y.line, y.seq) >= (coalesce(f.line, -20000),
					coalesce(f.seq, 0))
				AND y.route_id <> ALL (v_shut)
			ORDER BY y.line, y.seq LIMIT 1) w
		WHERE k.id <> ALL (v_closed));
END
$$;

-- Gives back p_counts[i] slots of p_locks[i], for which no heir was seen, and
-- moves the floors of p_far, as far as their mutexes are free.
-- Locks: lock_key, stepping over what others hold.
CREATE OR REPLACE FUNCTION muster.lock_return(
	p_locks bigint[], p_counts int[], p_far bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_mine bigint[];
	v_lined bigint[];
	v_locks bigint[];
	v_counts int[];
	v_later bigint[];
	v_later_counts int[];
BEGIN
	SELECT array_agg(l.id) INTO v_mine
	FROM (SELECT k.id FROM muster.lock_key k
		WHERE k.id = ANY (p_locks || p_far)
		ORDER BY k.id FOR UPDATE SKIP LOCKED) l;
	IF p_far IS NOT NULL AND v_mine IS NOT NULL THEN
		PERFORM muster.lock_raise(CASE WHEN p_locks IS NULL THEN v_mine
			ELSE ARRAY(SELECT unnest(p_far)
				INTERSECT SELECT unnest(v_mine)) END);
	END IF;
	IF p_locks IS NULL THEN
		RETURN;
	END IF;
	-- What was admitted since the first look is seen now.
	v_lined := muster.lock_lined(v_mine);
	SELECT array_agg(u.id) FILTER (WHERE NOT u.mine),
		array_agg(u.n) FILTER (WHERE NOT u.mine),
		array_agg(u.id) FILTER (WHERE u.mine AND NOT u.lined),
		array_agg(-u.n) FILTER (WHERE u.mine AND NOT u.lined),
		array_agg(u.id) FILTER (WHERE u.mine AND u.lined),
		array_agg(u.n) FILTER (WHERE u.mine AND u.lined)
	INTO v_later, v_later_counts, v_locks, v_counts, p_locks, p_counts
	FROM (SELECT x.id, x.n, (x.id IN (SELECT unnest(v_mine))) IS TRUE AS mine,
			(x.id IN (SELECT unnest(v_lined))) IS TRUE AS lined
		FROM unnest(p_locks, p_counts) x(id, n) OFFSET 0) u;
	IF p_locks IS NOT NULL THEN
		-- For whom nobody comes up now, somebody else is just popping, and
		-- may not come to his end.
		SELECT v_later || p.o_left, v_later_counts || p.o_counts
		INTO v_later, v_later_counts
		FROM muster.lock_pop(p_locks, p_counts) p;
	END IF;
	IF v_locks IS NOT NULL THEN
		PERFORM muster.lock_note(v_locks, v_counts);
		SELECT v_later || array_agg(c.lock_id),
			v_later_counts || array_agg(0)
		INTO v_later, v_later_counts
		FROM muster.lock_closed c WHERE c.lock_id = ANY (v_locks);
	END IF;
	IF v_later IS NOT NULL THEN
		INSERT INTO muster.lock_freed (lock_id, n)
		SELECT * FROM unnest(v_later, v_later_counts);
		PERFORM muster.announce_work();
	END IF;
END
$$;

-- p_add[i] more slots of p_locks[i] are held; the caller has the mutexes.
CREATE OR REPLACE FUNCTION muster.lock_note(p_locks bigint[], p_add int[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	WITH old AS MATERIALIZED (
		SELECT h.place, h.lock_id, h.held + k.n AS held
		FROM unnest(p_locks, p_add) k(id, n)
		CROSS JOIN LATERAL (SELECT x.ctid AS place, x.lock_id, x.held
			FROM muster.lock_held x
			WHERE x.lock_id = k.id ORDER BY x.gen DESC LIMIT 1) h
	), gone AS (
		DELETE FROM muster.lock_held h
		WHERE h.ctid = ANY (ARRAY(SELECT o.place FROM old o))
	)
	INSERT INTO muster.lock_held
	SELECT o.lock_id, nextval('muster.lock_gen'), now(), o.held FROM old o;
END
$$;

-- Moves the floors of these keys to the first who is visible: one that somebody
-- else is just popping may come back. The caller has the mutexes, so nobody comes
-- in meanwhile.
CREATE OR REPLACE FUNCTION muster.lock_raise(p_locks bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_locks bigint[];
	v_line int[];
	v_seq bigint[];
BEGIN
	SELECT array_agg(k.id), array_agg(w.line), array_agg(w.seq)
	INTO v_locks, v_line, v_seq
	FROM unnest(p_locks) k(id)
	LEFT JOIN LATERAL (SELECT x.line, x.seq FROM muster.lock_floor x
		WHERE x.lock_id = k.id ORDER BY x.gen DESC LIMIT 1) f ON true
	CROSS JOIN LATERAL (SELECT y.line, y.seq FROM muster.waiting y
		WHERE y.lock_id = k.id
			AND (y.line, y.seq) >= (coalesce(f.line, -20000),
				coalesce(f.seq, 0))
		ORDER BY y.line, y.seq LIMIT 1) w;
	IF v_locks IS NOT NULL THEN
		PERFORM muster.lock_enter(v_locks, v_line, v_seq);
	END IF;
END
$$;

-- The new floors of these keys, whose mutexes the caller has.
CREATE OR REPLACE FUNCTION muster.lock_enter(
	p_locks bigint[], p_line int[], p_seq bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM muster.lock_floor f WHERE f.ctid = ANY (ARRAY(
		SELECT x.place FROM unnest(p_locks) k(id)
		CROSS JOIN LATERAL (SELECT y.ctid AS place
			FROM muster.lock_floor y WHERE y.lock_id = k.id
			ORDER BY y.gen DESC LIMIT 1) x));
	INSERT INTO muster.lock_floor
	SELECT k.id, nextval('muster.lock_gen'), k.line, k.seq
	FROM unnest(p_locks, p_line, p_seq) k(id, line, seq);
END
$$;

-- Of these routes, which nothing is claimed from any more, up to p_limit ready tasks
-- give back their slots and stand in line again; how many.
-- Locks: ready, stepping over what others hold: that is just being claimed.
CREATE OR REPLACE FUNCTION muster.lock_shed(p_routes int[], p_limit int)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_ids bigint[];
	v_locks bigint[];
BEGIN
	WITH gone AS (
		DELETE FROM muster.ready r WHERE r.ctid = ANY (ARRAY(
			SELECT x.ctid FROM muster.ready x
			WHERE x.lock_id IS NOT NULL AND x.route_id = ANY (p_routes)
			LIMIT p_limit FOR UPDATE SKIP LOCKED))
		RETURNING r.task_id, r.lock_id, r.ticket
	)
	SELECT array_agg(g.task_id), array_agg(g.lock_id)
	INTO v_ids, v_locks FROM gone g
	CROSS JOIN LATERAL (SELECT FROM muster.task t WHERE t.id = g.task_id
		AND t.ticket = g.ticket AND t.state IS NULL OFFSET 0) t;
	IF v_ids IS NULL THEN
		RETURN 0;
	END IF;
	INSERT INTO muster.lock_freed (lock_id, n)
	SELECT u.id, count(*) FROM unnest(v_locks) u(id) GROUP BY u.id;
	PERFORM muster.lock_ask(v_ids);
	RETURN cardinality(v_ids);
END
$$;

-- These routes go on: the keys for which tasks of theirs wait are looked at again.
CREATE OR REPLACE FUNCTION muster.lock_unshut(p_routes int[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO muster.lock_freed (lock_id, n)
	SELECT DISTINCT w.lock_id, 0 FROM muster.waiting w
	WHERE w.route_id = ANY (p_routes);
	IF FOUND THEN
		PERFORM muster.announce_work();
	END IF;
END
$$;

-- Takes these tasks, as far as nobody else holds them, out of the lines of their
-- keys, to stand in line again as they are then; gives them.
CREATE OR REPLACE FUNCTION muster.lock_leave(p_ids bigint[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	v_ids bigint[];
BEGIN
	WITH gone AS (
		DELETE FROM muster.waiting w WHERE w.ctid = ANY (ARRAY(
			SELECT x.ctid FROM muster.waiting x
			WHERE x.task_id = ANY (p_ids) FOR UPDATE SKIP LOCKED))
		RETURNING w.task_id
	)
	SELECT array_agg(g.task_id) INTO v_ids FROM gone g;
	IF v_ids IS NOT NULL THEN
		PERFORM muster.lock_ask(v_ids);
	END IF;
	RETURN v_ids;
END
$$;

-- Keys that have had no task for ten minutes; admission makes them anew. Whether
-- there are more.
CREATE OR REPLACE FUNCTION muster.purge_locks(p_limit int)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	v_ids bigint[];
BEGIN
	v_ids := ARRAY(SELECT h.lock_id FROM muster.lock_held h
		WHERE h.held = 0 AND h.at < now() - interval '10 min'
		ORDER BY h.at LIMIT p_limit);
	IF v_ids = '{}'
			OR NOT pg_try_advisory_xact_lock(hashtext('muster admit')) THEN
		RETURN false;
	END IF;
	v_ids := ARRAY(SELECT l.id FROM (SELECT k.id FROM muster.lock_key k
			WHERE k.id = ANY (v_ids)
			ORDER BY k.id FOR UPDATE SKIP LOCKED) l
		WHERE (SELECT h.held FROM muster.lock_held h
				WHERE h.lock_id = l.id ORDER BY h.gen DESC LIMIT 1) = 0
			AND NOT EXISTS (SELECT FROM muster.waiting w
				WHERE w.lock_id = l.id)
			AND NOT EXISTS (SELECT FROM muster.lock_freed f
				WHERE f.lock_id = l.id));
	DELETE FROM muster.lock_held h WHERE h.lock_id = ANY (v_ids);
	DELETE FROM muster.lock_floor f WHERE f.lock_id = ANY (v_ids);
	DELETE FROM muster.lock_closed c WHERE c.lock_id = ANY (v_ids);
	DELETE FROM muster.lock_key k WHERE k.id = ANY (v_ids);
	RETURN cardinality(v_ids) = p_limit;
END
$$;
