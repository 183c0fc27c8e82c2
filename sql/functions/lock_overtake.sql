-- Overtaking in the line before a concurrency key: who is ready with a slot, but not
-- yet claimed, gives it to one of a higher priority who waits, and goes back to the
-- head of its own line. Who has its slot by age (aged) keeps it: else nothing that
-- is little urgent would ever run beside much that is urgent.

-- Does so for these keys, whose mutexes the caller has. What somebody else holds
-- keeps its place; admission is told to look again.
-- Locks: task, ready and waiting, all stepping over what others hold: a claim
-- under way wins, and what somebody cancels or moves, who has locked the task, stays
-- where it was found.
CREATE OR REPLACE FUNCTION muster.lock_overtake(p_locks bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_shut int[] := muster.lock_shut();
	v_lock bigint[]; -- those who are to be overtaken: their rows of ready
	v_rank smallint[];
	v_lane smallint[];
	v_seq bigint[];
	v_wanted bigint[];
	v_ids bigint[]; -- those of them that nobody else holds, ascending
	v_ticket smallint[];
	v_routes int[];
	v_back bigint[]; -- the keys of those who went back
BEGIN
	SELECT p.* INTO v_lock, v_rank, v_lane, v_seq, v_wanted
	FROM muster.lock_overtaken(p_locks, v_shut) p;
	IF v_lock IS NULL THEN
		RETURN;
	END IF;
	SELECT array_agg(t.id), array_agg(t.ticket) INTO v_ids, v_ticket
	FROM (SELECT x.id, x.ticket FROM muster.task x
		WHERE x.id = ANY (v_wanted) AND x.state IS NULL
		ORDER BY x.id FOR NO KEY UPDATE SKIP LOCKED) t;
	WITH r AS MATERIALIZED (
		SELECT y.*, y.rank * 16 + y.lane AS line, row_number() OVER (
			PARTITION BY y.lock_id
			ORDER BY y.rank DESC, y.lane DESC, y.seq DESC) AS nth
		FROM unnest(v_lock, v_rank, v_lane, v_seq)
			u(lock_id, rank, lane, seq)
		CROSS JOIN LATERAL (SELECT x.ctid AS place, x.*
			FROM muster.ready x WHERE x.lock_id = u.lock_id
				AND x.rank = u.rank AND x.lane = u.lane
				AND x.seq = u.seq
				AND v_ids[width_bucket(x.task_id, v_ids)] = x.task_id
				AND v_ticket[width_bucket(x.task_id, v_ids)]
					= x.ticket
			LIMIT 1 FOR UPDATE SKIP LOCKED) y
	), w AS MATERIALIZED (
		SELECT y.*
		FROM (SELECT r.lock_id, count(*) AS n, min(r.rank) AS rank
			FROM r GROUP BY r.lock_id) k
		LEFT JOIN LATERAL (SELECT x.line, x.seq FROM muster.lock_floor x
			WHERE x.lock_id = k.lock_id
			ORDER BY x.gen DESC LIMIT 1) f ON true
		CROSS JOIN LATERAL (SELECT x.ctid AS place, x.*
			FROM muster.waiting x
			WHERE x.lock_id = k.lock_id AND x.line < k.rank * 16
				AND (x.line, x.seq) >= (coalesce(f.line, -20000),
					coalesce(f.seq, 0))
				AND x.route_id <> ALL (v_shut)
			ORDER BY x.line, x.seq LIMIT k.n
			FOR UPDATE SKIP LOCKED) y
	), back AS MATERIALIZED (
		SELECT r.* FROM (SELECT w.lock_id, count(*) AS n FROM w
			GROUP BY w.lock_id) k
		JOIN r ON r.lock_id = k.lock_id AND r.nth <= k.n
	), left_ready AS (
		DELETE FROM muster.ready x
		WHERE x.ctid = ANY (ARRAY(SELECT b.place FROM back b))
	), left_line AS (
		DELETE FROM muster.waiting x
		WHERE x.ctid = ANY (ARRAY(SELECT w.place FROM w))
	), put AS (
		INSERT INTO muster.ready (seq, task_id, at, route_id, size, rank,
			lane, ticket, lock_id)
		SELECT nextval('muster.ready_seq'), g.task_id, now(), g.route_id,
			g.size, g.line >> 4, g.line & 15, g.ticket, g.lock_id
		FROM (SELECT * FROM w ORDER BY w.task_id) g
	), head AS MATERIALIZED ( -- nobody else comes into these lines now, and
		-- the floor is below them: it is below who overtakes
		SELECT k.lock_id, k.line, coalesce(h.seq,
			nextval('muster.waiting_seq')) AS seq
		FROM (SELECT DISTINCT b.lock_id, b.line FROM back b) k
		LEFT JOIN LATERAL (SELECT x.line, x.seq FROM muster.lock_floor x
			WHERE x.lock_id = k.lock_id
			ORDER BY x.gen DESC LIMIT 1) f ON true
		LEFT JOIN LATERAL (SELECT x.seq FROM muster.waiting x
			WHERE x.lock_id = k.lock_id AND x.line = k.line
				AND (x.line, x.seq) >= (coalesce(f.line, -20000),
					coalesce(f.seq, 0))
			ORDER BY x.line, x.seq LIMIT 1) h ON true
	), wait AS (
		INSERT INTO muster.waiting (lock_id, seq, task_id, line, route_id,
			size, ticket)
		SELECT b.lock_id, h.seq - row_number() OVER (
				PARTITION BY b.lock_id, b.line ORDER BY b.seq DESC),
			b.task_id, b.line, b.route_id, b.size, b.ticket
		FROM back b JOIN head h
			ON h.lock_id = b.lock_id AND h.line = b.line
	)
	SELECT (SELECT array_agg(w.route_id) FROM w),
		(SELECT array_agg(b.lock_id) FROM back b)
	INTO v_routes, v_back;
	PERFORM muster.announce(v_routes);
	INSERT INTO muster.lock_freed (lock_id, n)
	SELECT u.id, 0
	FROM (SELECT x.id, sum(x.n) AS kept, count(*) FILTER (WHERE x.n > 0) AS met
		FROM (SELECT l.id, 1 AS n FROM unnest(v_lock) l(id)
			UNION ALL SELECT b.id, -1 FROM unnest(v_back) b(id)) x
		GROUP BY x.id) u
	WHERE u.kept > 0 OR u.met = 1000;
END
$$;

-- Of each of these keys the rows of ready that are to be overtaken, the least urgent
-- first, as many as there are more urgent ones in its line; at most 1000.
CREATE OR REPLACE FUNCTION muster.lock_overtaken(p_locks bigint[], p_shut int[],
	OUT o_lock bigint[], OUT o_rank smallint[], OUT o_lane smallint[],
	OUT o_seq bigint[], OUT o_task bigint[])
LANGUAGE plpgsql AS $$
DECLARE
	v_lock bigint[]; -- where somebody stands in line, …
	v_rank int[]; -- … the first of them, …
	v_line int[]; -- … and the floor
	v_seq bigint[];
	v_low bigint;
BEGIN
	SELECT array_agg(k.id), array_agg(w.line >> 4),
		array_agg(coalesce(f.line, -20000)),
		array_agg(coalesce(f.seq, 0))
	INTO v_lock, v_rank, v_line, v_seq
	FROM unnest(p_locks) k(id)
	LEFT JOIN LATERAL (SELECT x.line, x.seq FROM muster.lock_floor x
		WHERE x.lock_id = k.id ORDER BY x.gen DESC LIMIT 1) f ON true
	CROSS JOIN LATERAL (SELECT x.line FROM muster.waiting x
		WHERE x.lock_id = k.id
			AND (x.line, x.seq) >= (coalesce(f.line, -20000),
				coalesce(f.seq, 0))
			AND x.route_id <> ALL (p_shut)
		ORDER BY x.line, x.seq LIMIT 1) w;
	-- Below its mark a line has but dead rows. Null: there is none behind.
	v_low := (SELECT min(coalesce((SELECT m.mark FROM muster.lane_mark m
			WHERE m.route_id = l.route_id AND m.rank = l.rank
				AND m.lane = l.lane
			ORDER BY m.mark DESC LIMIT 1), 0))
		FROM muster.lanes l
		WHERE l.rank > (SELECT min(u.rank) FROM unnest(v_rank) u(rank)));
	IF v_low IS NULL THEN
		RETURN;
	END IF;
	SELECT array_agg(k.id), array_agg(h.rank), array_agg(h.lane),
		array_agg(h.seq), array_agg(h.task_id)
	INTO o_lock, o_rank, o_lane, o_seq, o_task
	FROM unnest(v_lock, v_rank, v_line, v_seq) k(id, rank, line, seq)
	CROSS JOIN LATERAL (SELECT r.rank FROM muster.ready r
		CROSS JOIN LATERAL (SELECT FROM muster.task t
			WHERE t.id = r.task_id AND t.ticket = r.ticket
				AND t.state IS NULL OFFSET 0) t
		WHERE r.lock_id = k.id AND r.rank > k.rank
			AND r.seq >= v_low AND r.aged IS NULL
		ORDER BY r.rank DESC, r.lane DESC, r.seq DESC LIMIT 1) l
	CROSS JOIN LATERAL (SELECT array_agg(y.line >> 4) AS ranks, count(*) AS n
		FROM (SELECT x.line FROM muster.waiting x
			WHERE x.lock_id = k.id AND x.line < l.rank * 16
				AND (x.line, x.seq) >= (k.line, k.seq)
				AND x.route_id <> ALL (p_shut)
			ORDER BY x.line, x.seq LIMIT 1000) y) w
	CROSS JOIN LATERAL (SELECT y.*, row_number() OVER () AS nth
		FROM (SELECT r.* FROM muster.ready r
			CROSS JOIN LATERAL (SELECT FROM muster.task t
				WHERE t.id = r.task_id AND t.ticket = r.ticket
					AND t.state IS NULL OFFSET 0) t
			WHERE r.lock_id = k.id AND r.rank > k.rank
				AND r.seq >= v_low AND r.aged IS NULL
			ORDER BY r.rank DESC, r.lane DESC, r.seq DESC
			LIMIT w.n) y) h
	WHERE w.ranks[h.nth] < h.rank;
END
$$;

-- The keys of these tasks are looked at again.
CREATE OR REPLACE FUNCTION muster.lock_look(p_ids bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO muster.lock_freed (lock_id, n)
	SELECT DISTINCT t.lock_id, 0 FROM muster.task t
	WHERE t.id = ANY (p_ids) AND t.lock_id IS NOT NULL;
	IF FOUND THEN
		PERFORM muster.announce_work();
	END IF;
END
$$;
