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
			WHERE x.queue = p.queue OFFSET 0) r);
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
	v_locks bigint[];
	v_counts int[];
	v_left bigint[];
	v_left_counts int[];
	v_far bigint[];
BEGIN
	SELECT array_agg(k.id ORDER BY k.id), array_agg(k.n ORDER BY k.id)
	INTO v_locks, v_counts
	FROM (SELECT u.id, count(*)::int AS n FROM unnest(p_locks) u(id)
		GROUP BY u.id) k;
	SELECT p.o_left, p.o_counts, p.o_far
	INTO v_left, v_left_counts, v_far
	FROM muster.lock_pop(v_locks, v_counts) p;
	IF v_left IS NOT NULL OR v_far IS NOT NULL THEN
		PERFORM muster.lock_return(v_left, v_left_counts, v_far);
	END IF;
END
$$;

-- Gives up to p_counts[i] slots of p_locks[i] (ascending) to those who wait for
-- them, the urgent first; one call in 16 goes by age, so that nobody waits for
-- ever. o_left: the keys for which slots are left over, o_counts: how many. o_far:
-- keys whose floor should be moved, since much may have gone below it.
-- Locks: waiting, stepping over what others hold.
CREATE OR REPLACE FUNCTION muster.lock_pop(p_locks bigint[], p_counts int[],
	OUT o_left bigint[], OUT o_counts int[], OUT o_far bigint[])
LANGUAGE plpgsql AS $$
DECLARE
	v_shut int[] := muster.lock_shut();
	v_by_age boolean := random() < 1.0 / 16;
	v_ctid tid[];
	v_got bigint[];
	v_routes int[];
BEGIN
	SELECT array_agg(w.at), array_agg(w.lock_id),
		array_agg(DISTINCT w.lock_id)
			FILTER (WHERE hashint8(w.seq) & 127 = 0)
	INTO v_ctid, v_got, o_far
	FROM unnest(p_locks, p_counts) k(id, n)
	CROSS JOIN LATERAL (SELECT x.lines, x.floors FROM muster.lock_held x
		WHERE x.lock_id = k.id ORDER BY x.gen DESC LIMIT 1) h
	CROSS JOIN LATERAL (
		SELECT x.* FROM (SELECT * FROM unnest(h.lines, h.floors) u(line, floor)
			ORDER BY CASE WHEN v_by_age THEN u.floor ELSE u.line END) l
		CROSS JOIN LATERAL (SELECT y.ctid AS at, y.lock_id, y.seq
			FROM muster.waiting y
			WHERE y.lock_id = k.id AND y.line = l.line
				AND y.seq >= l.floor AND y.route_id <> ALL (v_shut)
			ORDER BY y.seq LIMIT k.n FOR UPDATE SKIP LOCKED) x
		LIMIT k.n) w;
	IF v_ctid IS NOT NULL THEN
		WITH gone AS (
			DELETE FROM muster.waiting w WHERE w.ctid = ANY (v_ctid)
			RETURNING w.*
		), put AS (
			INSERT INTO muster.ready (seq, task_id, at, route_id, size,
				rank, lane, ticket, lock_id)
			SELECT nextval('muster.ready_seq'), g.task_id, now(),
				g.route_id, g.size, g.line >> 4, g.line & 15,
				g.ticket, g.lock_id
			FROM (SELECT * FROM gone ORDER BY task_id) g
			RETURNING route_id
		)
		SELECT array_agg(p.route_id) INTO v_routes FROM put p;
		PERFORM muster.announce(v_routes);
		IF v_got = p_locks THEN -- one each, in their order
			SELECT array_agg(u.id), array_agg(u.n - 1)
			INTO o_left, o_counts
			FROM unnest(p_locks, p_counts) u(id, n) WHERE u.n > 1;
			RETURN;
		END IF;
	END IF;
	SELECT array_agg(u.id ORDER BY u.id), array_agg(u.n ORDER BY u.id)
	INTO o_left, o_counts
	FROM (SELECT x.id, sum(x.n)::int AS n
		FROM (SELECT * FROM unnest(p_locks, p_counts) y(id, n)
			UNION ALL SELECT g.id, -1 FROM unnest(v_got) g(id)) x
		GROUP BY x.id) u
	WHERE u.n > 0;
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
	v_locks bigint[];
	v_counts int[];
	v_later bigint[];
	v_later_counts int[];
	v_shut int[];
BEGIN
	SELECT array_agg(l.id) INTO v_mine
	FROM (SELECT k.id FROM muster.lock_key k
		WHERE k.id = ANY (p_locks || p_far)
		ORDER BY k.id FOR UPDATE SKIP LOCKED) l;
	SELECT array_agg(u.id ORDER BY u.id) FILTER (WHERE u.id = ANY (v_mine)),
		array_agg(u.n ORDER BY u.id) FILTER (WHERE u.id = ANY (v_mine)),
		array_agg(u.id) FILTER (WHERE (u.id = ANY (v_mine)) IS NOT TRUE),
		array_agg(u.n) FILTER (WHERE (u.id = ANY (v_mine)) IS NOT TRUE)
	INTO v_locks, v_counts, v_later, v_later_counts
	FROM unnest(p_locks, p_counts) u(id, n);
	IF v_locks IS NOT NULL THEN
		-- What was admitted since the first look is seen now.
		SELECT p.o_left, p.o_counts INTO v_locks, v_counts
		FROM muster.lock_pop(v_locks, v_counts) p;
		v_shut := muster.lock_shut();
		-- Somebody else is just popping the one that is seen, and may not
		-- come to his end.
		SELECT v_later || array_agg(u.id) FILTER (WHERE u.seen),
			v_later_counts || array_agg(u.n) FILTER (WHERE u.seen),
			array_agg(u.id ORDER BY u.id) FILTER (WHERE NOT u.seen),
			array_agg(u.n ORDER BY u.id) FILTER (WHERE NOT u.seen)
		INTO v_later, v_later_counts, v_locks, v_counts
		FROM (SELECT x.id, x.n, muster.lock_line(x.id, v_shut)
				AS seen
			FROM unnest(v_locks, v_counts) x(id, n)) u;
	END IF;
	IF v_later IS NOT NULL THEN
		INSERT INTO muster.lock_freed (lock_id, n)
		SELECT * FROM unnest(v_later, v_later_counts);
		PERFORM muster.announce_work();
	END IF;
	SELECT array_agg(u.id), array_agg(u.n) INTO v_locks, v_counts
	FROM (SELECT x.id, -sum(x.n)::int AS n
		FROM (SELECT * FROM unnest(v_locks, v_counts) y(id, n)
			UNION ALL SELECT f.id, 0 FROM unnest(p_far) f(id)
			WHERE f.id = ANY (v_mine)) x
		GROUP BY x.id) u;
	IF v_locks IS NOT NULL THEN
		PERFORM muster.lock_note(v_locks, v_counts, NULL, NULL, NULL);
	END IF;
END
$$;

-- Whether somebody stands in the line of the key and could run: is of none of
-- the routes p_shut.
CREATE OR REPLACE FUNCTION muster.lock_line(p_lock bigint, p_shut int[])
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RETURN EXISTS (
		SELECT FROM (SELECT x.lines, x.floors FROM muster.lock_held x
			WHERE x.lock_id = p_lock ORDER BY x.gen DESC LIMIT 1) h
		CROSS JOIN LATERAL unnest(h.lines, h.floors) l(line, floor)
		CROSS JOIN LATERAL (SELECT FROM muster.waiting y
			WHERE y.lock_id = p_lock AND y.line = l.line
				AND y.seq >= l.floor
				AND y.route_id <> ALL (p_shut)
			ORDER BY y.seq LIMIT 1) w);
END
$$;

-- A new generation of the keys p_locks, whose mutexes the caller holds: p_add[i]
-- more slots are held, and p_new_seq[j] is the first of the line p_new_line[j] of
-- p_new_lock[j]. Floors are moved to the first that is visible; a line in which
-- nobody stands is forgotten.
CREATE OR REPLACE FUNCTION muster.lock_note(p_locks bigint[], p_add int[],
	p_new_lock bigint[], p_new_line int[], p_new_seq bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	WITH old AS MATERIALIZED (
		SELECT h.*, h.held + k.n AS now_held
		FROM unnest(p_locks, p_add) k(id, n)
		CROSS JOIN LATERAL (SELECT x.ctid AS place, x.lock_id, x.held,
				x.lines, x.floors
			FROM muster.lock_held x
			WHERE x.lock_id = k.id ORDER BY x.gen DESC LIMIT 1) h
	), gone AS (
		DELETE FROM muster.lock_held h
		WHERE h.ctid = ANY (ARRAY(SELECT o.place FROM old o))
	)
	INSERT INTO muster.lock_held
	SELECT g.lock_id, nextval('muster.lock_gen'), now(), max(g.held),
		coalesce(array_agg(g.line ORDER BY g.line)
			FILTER (WHERE g.line IS NOT NULL), '{}'),
		coalesce(array_agg(g.floor ORDER BY g.line)
			FILTER (WHERE g.line IS NOT NULL), '{}')
	FROM (
		SELECT u.lock_id, u.line, max(u.held) AS held, min(u.floor) AS floor
		FROM (
			SELECT o.lock_id, NULL::int AS line, o.now_held AS held,
				NULL::bigint AS floor FROM old o
			UNION ALL
			SELECT o.lock_id, l.line, NULL, w.seq
			FROM old o
			CROSS JOIN LATERAL unnest(o.lines, o.floors) l(line, floor)
			CROSS JOIN LATERAL (SELECT y.seq FROM muster.waiting y
				WHERE y.lock_id = o.lock_id AND y.line = l.line
					AND y.seq >= l.floor
				ORDER BY y.seq LIMIT 1) w
			UNION ALL
			SELECT n.lock_id, n.line, NULL, n.seq
			FROM unnest(p_new_lock, p_new_line, p_new_seq)
				n(lock_id, line, seq)
		) u
		GROUP BY u.lock_id, u.line
	) g
	GROUP BY g.lock_id;
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
			ORDER BY x.lock_id, x.seq
			LIMIT p_limit FOR UPDATE SKIP LOCKED))
		RETURNING r.task_id, r.lock_id
	)
	SELECT array_agg(g.task_id), array_agg(g.lock_id)
	INTO v_ids, v_locks FROM gone g;
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

-- Keys that have had no task for ten minutes; admission makes them anew.
CREATE OR REPLACE FUNCTION muster.purge_locks(p_limit int)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_ids bigint[];
BEGIN
	v_ids := ARRAY(SELECT h.lock_id FROM muster.lock_held h
		WHERE h.held = 0 AND h.at < now() - interval '10 min'
		ORDER BY h.at LIMIT p_limit);
	IF v_ids = '{}'
			OR NOT pg_try_advisory_xact_lock(hashtext('muster admit')) THEN
		RETURN;
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
	DELETE FROM muster.lock_key k WHERE k.id = ANY (v_ids);
END
$$;
