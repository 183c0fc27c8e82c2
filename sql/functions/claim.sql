-- Claiming: the second half of a turn. Only the heads of the lines are read.

-- Takes up to p_want[i] tasks of p_route[i] from the heads of the lines, p_max in
-- all, p_max_bytes of payload (the first always fits). Of a task that was moved and
-- is met twice, the later standing. Where p_route[i] is -1,
-- the routes after it, up to the next such, get p_want[i] together; -2 does the
-- same, and ends at the next -1 or -2. Ascending by task; o_line
-- says from which line. f_*: the new floors. o_keyed: how many have a concurrency
-- key; o_left, o_bytes: what of p_max and p_max_bytes is left; o_want: what of p_want,
-- 0 where there may be more, whatever it was that no more could be taken for.
-- Locks: ready (what others hold is stepped over). Called by turn.
CREATE OR REPLACE FUNCTION muster.claim(p_route int[], p_want int[],
	p_max int, p_max_bytes bigint, p_floor_route int[],
	p_floor_rank int[], p_floor_lane int[], p_floor_seq bigint[],
	OUT l_route int[], OUT l_rank int[], OUT l_lane int[],
	OUT o_task bigint[], OUT o_ticket smallint[], OUT o_line int[],
	OUT f_line int[], OUT f_seq bigint[],
	OUT o_keyed bigint, OUT o_left int, OUT o_bytes bigint,
	OUT o_want int[])
LANGUAGE plpgsql AS $$
DECLARE
	v_oldest CONSTANT boolean := random() < 1.0 / 16;
	v_flowless CONSTANT boolean := random() < 0.25;
	v_top bigint;
	v_paused boolean;
	v_head record;
	v_start bigint[]; -- where its head stands
	v_told bigint[];
	v_n int;
	v_keyed bigint;
	v_got int;
	v_at int;
	v_grouped boolean := 0 > ANY (p_route);
	v_bounds int[];
	v_bound int;
	v_floor bigint;
	v_sum bigint;
	v_ctid tid[];
	v_task bigint[]; -- of each row the first, and how many
	v_each int[];
	v_ticket smallint[];
	v_members int[];
	v_spread bigint; -- 0: the tasks are in the order of seq
	v_sets boolean := false;
	v_uneven boolean := false;
	v_alike boolean; -- all of one line, none moved
	v_moved boolean;
BEGIN
	o_want := p_want;
	o_keyed := 0;
	o_left := p_max;
	o_bytes := p_max_bytes;
	SELECT s.last_value, EXISTS (SELECT FROM muster.paused)
	INTO v_top, v_paused FROM muster.ready_seq s;
	IF v_paused THEN
		o_want := muster.claim_unpaused(p_route, p_want);
	END IF;
	-- Of the lines the ones that have something, in the order in which they are
	-- served: the urgent first, within a rank the longest remaining path of a
	-- flow, then the oldest. So that nothing starves, one turn in 16 serves the
	-- oldest head whatever its rank, and one in 4 what is in no flow before what
	-- is. Behind them, with null for the head, those empty ones of which v_top
	-- is worth telling as a floor.
	SELECT array_agg(h.r), array_agg(h.k), array_agg(h.l),
		array_agg(h.head), array_agg(h.told)
	INTO l_route, l_rank, l_lane, v_start, v_told
	FROM (
		SELECT l.*, a.seq AS head
		FROM (
			SELECT u.r, u.k, u.l, max(u.seq) AS told
			FROM (
				SELECT x.route_id AS r, x.rank AS k, x.lane AS l,
					NULL::bigint AS seq
				FROM muster.lanes x
				WHERE x.route_id = ANY (p_route)
				UNION ALL
				SELECT f.r, f.k, f.l, f.seq
				FROM unnest(p_floor_route, p_floor_rank,
					p_floor_lane, p_floor_seq) f(r, k, l, seq)
				WHERE f.r = ANY (p_route)
			) u
			GROUP BY u.r, u.k, u.l
		) l
		LEFT JOIN LATERAL (SELECT x.seq FROM muster.ready x
			WHERE x.route_id = l.r AND x.rank = l.k AND x.lane = l.l
			AND x.seq >= coalesce(l.told,
				(SELECT m.mark FROM muster.lane_mark m
				WHERE m.route_id = l.r AND m.rank = l.k
					AND m.lane = l.l
				ORDER BY m.mark DESC LIMIT 1), 0)
			ORDER BY x.seq LIMIT 1) a ON true
		WHERE a.seq IS NOT NULL OR v_top > coalesce(l.told + 100, -1)
		ORDER BY a.seq IS NULL,
			CASE WHEN v_oldest THEN 0 ELSE l.k END,
			CASE WHEN v_oldest THEN 0
				WHEN v_flowless AND l.l = 8 THEN -1 ELSE l.l END,
			a.seq
	) h;
	FOR i IN 1 .. coalesce(cardinality(l_route), 0) LOOP
		IF v_start[i] IS NULL THEN
			f_line := f_line || i;
			f_seq := f_seq || v_top;
			CONTINUE;
		END IF;
		v_at := array_position(p_route, l_route[i]);
		v_n := least(o_want[v_at], o_left);
		v_bounds := '{}';
		IF v_grouped THEN
			FOR g IN REVERSE v_at .. 1 LOOP
				CONTINUE WHEN p_route[g] > 0
					OR p_route[g] = -2 AND v_bounds <> '{}';
				v_bounds := v_bounds || g;
				v_n := least(v_n, o_want[g]);
				EXIT WHEN p_route[g] = -1;
			END LOOP;
		END IF;
		IF v_n <= 0 OR o_bytes <= 0 THEN
			o_want[v_at] := 0;
			CONTINUE;
		END IF;
		IF l_lane[i] < 8 THEN
			v_head := muster.claim_sets(l_route[i], l_rank[i],
				l_lane[i], v_start[i], v_n);
			v_ctid := v_head.o_ctid;
			v_task := v_head.o_task;
			v_ticket := v_head.o_ticket;
			v_each := v_head.o_each;
			v_sum := v_head.o_sum;
			v_got := v_head.o_got;
			v_floor := v_head.o_last;
			v_keyed := v_head.o_keyed;
			v_spread := 1;
		ELSE
			SELECT array_agg(h.ctid), array_agg(h.task_id),
				array_agg(h.ticket), sum(h.size), count(*), max(h.seq),
				max(h.task_id - h.seq) - min(h.task_id - h.seq),
				count(h.lock_id)
			INTO v_ctid, v_task, v_ticket, v_sum, v_got, v_floor,
				v_spread, v_keyed
			FROM (SELECT r.ctid, r.task_id, r.ticket, r.seq, r.size,
					r.lock_id
				FROM muster.ready r
				WHERE r.route_id = l_route[i]
				AND r.rank = l_rank[i] AND r.lane = l_lane[i]
				AND r.seq >= v_start[i]
				ORDER BY r.seq LIMIT v_n FOR UPDATE SKIP LOCKED) h;
			v_each := array_fill(1, ARRAY[v_got]);
		END IF;
		IF v_got > v_n OR v_sum > o_bytes THEN
			SELECT f.* INTO v_ctid, v_task, v_ticket, v_each, v_sum,
				v_got, v_floor
			FROM muster.claim_fitting(v_ctid, l_route[i], v_n,
				o_bytes, o_task IS NULL) f;
		ELSIF v_got < v_n THEN
			v_floor := v_top;
		END IF;
		IF v_floor > coalesce(v_told[i]
				+ CASE WHEN v_got > 0 THEN 0 ELSE 100 END, -1) THEN
			f_line := f_line || i;
			f_seq := f_seq || v_floor;
		END IF;
		CONTINUE WHEN v_got = 0;
		o_keyed := o_keyed + v_keyed;
		o_bytes := o_bytes - v_sum;
		o_want[v_at] := CASE WHEN v_got < v_n AND o_bytes > 0
			THEN o_want[v_at] - v_got ELSE 0 END;
		FOREACH v_bound IN ARRAY v_bounds LOOP
			o_want[v_bound] := o_want[v_bound] - v_got;
		END LOOP;
		o_left := o_left - v_got;
		DELETE FROM muster.ready r WHERE r.ctid = ANY (v_ctid);
		v_sets := v_sets OR v_got > cardinality(v_task);
		IF o_task IS NULL THEN
			o_task := v_task;
			o_ticket := v_ticket;
			v_members := v_each;
			o_line := array_fill(i, ARRAY[cardinality(v_task)]);
			v_uneven := v_spread > 0;
			v_alike := 0 = ALL (v_ticket);
		ELSE
			v_uneven := true;
			v_alike := false;
			o_task := o_task || v_task;
			o_ticket := o_ticket || v_ticket;
			v_members := v_members || v_each;
			o_line := o_line
				|| array_fill(i, ARRAY[cardinality(v_task)]);
		END IF;
	END LOOP;
	IF v_sets AND v_alike THEN
		o_task := ARRAY(SELECT u.t + generate_series(0, u.n - 1)
			FROM (SELECT * FROM unnest(o_task, v_members) x(t, n)
				ORDER BY x.t) u);
		o_ticket := array_fill(0::smallint, ARRAY[cardinality(o_task)]);
		o_line := array_fill(o_line[1], ARRAY[cardinality(o_task)]);
	ELSIF v_sets THEN
		SELECT array_agg(m.t), array_agg(m.k), array_agg(m.l),
			max(m.k) > 0
		INTO o_task, o_ticket, o_line, v_moved
		FROM (SELECT u.t + generate_series(0, u.n - 1) AS t, u.k, u.l
			FROM (SELECT * FROM unnest(o_task, o_ticket, o_line,
				v_members) x(t, k, l, n) ORDER BY x.t) u) m;
	ELSIF cardinality(o_task) = 1 THEN
		v_moved := o_ticket[1] > 0;
	ELSIF v_uneven THEN
		SELECT array_agg(u.t), array_agg(u.k), array_agg(u.l),
			max(u.k) > 0
		INTO o_task, o_ticket, o_line, v_moved
		FROM (SELECT * FROM unnest(o_task, o_ticket, o_line) x(t, k, l)
			ORDER BY x.t) u;
	END IF;
	IF v_moved THEN
		SELECT c.* INTO o_task, o_ticket, o_line
		FROM muster.claim_current(o_task, o_ticket, o_line) c;
	END IF;
END
$$;

-- The head of a line in which rows may stand for several tasks: as many rows as make
-- up p_want tasks, locked, in their order; fewer if there are no more. o_last: the
-- last seq; o_keyed: how many have a concurrency key.
CREATE OR REPLACE FUNCTION muster.claim_sets(
	p_route int, p_rank int, p_lane int, p_start bigint, p_want int,
	OUT o_ctid tid[], OUT o_task bigint[], OUT o_ticket smallint[],
	OUT o_each int[], OUT o_sum bigint, OUT o_got int, OUT o_last bigint,
	OUT o_keyed bigint)
LANGUAGE plpgsql AS $$
DECLARE
	v_from bigint := p_start;
	v_rows int;
	v_hit int;
BEGIN
	LOOP
		v_rows := muster.claim_rows(p_route, p_rank, p_lane, v_from,
			p_want - coalesce(o_got, 0));
		SELECT o_ctid || array_agg(h.ctid), o_task || array_agg(h.task_id),
			o_ticket || array_agg(h.ticket), o_each || array_agg(h.n),
			coalesce(o_sum, 0) + coalesce(sum(h.size), 0),
			coalesce(o_got, 0) + coalesce(sum(h.n), 0),
			coalesce(max(h.seq), o_last),
			coalesce(o_keyed, 0) + count(h.lock_id),
			coalesce(cardinality(array_agg(h.ctid)), 0)
		INTO o_ctid, o_task, o_ticket, o_each, o_sum, o_got, o_last,
			o_keyed, v_hit
		FROM (SELECT r.ctid, r.task_id, r.ticket, r.seq, r.size, r.n,
				r.lock_id
			FROM muster.ready r
			WHERE r.route_id = p_route AND r.rank = p_rank
			AND r.lane = p_lane AND r.seq >= v_from
			ORDER BY r.seq LIMIT v_rows FOR UPDATE SKIP LOCKED) h;
		-- Others may hold what was counted, so there may be more.
		EXIT WHEN o_got >= p_want OR v_hit < v_rows;
		v_from := o_last + 1;
	END LOOP;
END
$$;

-- How many rows from p_start on make up p_want tasks, as it seems without locks:
-- LIMIT counts rows, and who locks many more than it takes hides them from others.
-- Where all are fewer, one row more than there are: who gets less has had all.
CREATE OR REPLACE FUNCTION muster.claim_rows(
	p_route int, p_rank int, p_lane int, p_start bigint, p_want int)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_guess bigint := greatest(16, (p_want + 15) / 16);
	v_rows bigint;
	v_sum bigint;
BEGIN
	-- As if all were full; then as many as those seen so far suggest.
	FOR look IN 1 .. 2 LOOP
		SELECT count(*), coalesce(sum(h.n), 0) INTO v_rows, v_sum
		FROM (SELECT r.n FROM muster.ready r
			WHERE r.route_id = p_route AND r.rank = p_rank
			AND r.lane = p_lane AND r.seq >= p_start
			ORDER BY r.seq LIMIT v_guess) h;
		IF v_sum < p_want AND v_rows < v_guess THEN
			RETURN v_rows + 1;
		ELSIF v_sum BETWEEN p_want AND p_want + 15 THEN
			RETURN v_rows;
		END IF;
		v_guess := (v_rows * p_want + v_sum - 1) / v_sum;
	END LOOP;
	RETURN (SELECT count(*) FROM (SELECT sum(h.n) OVER (ORDER BY h.seq)
				- h.n AS before
			FROM (SELECT r.n, r.seq FROM muster.ready r
				WHERE r.route_id = p_route AND r.rank = p_rank
				AND r.lane = p_lane AND r.seq >= p_start
				ORDER BY r.seq LIMIT p_want) h) t
		WHERE t.before < p_want);
END
$$;

-- A task that was moved, or cancelled and brought back, has another ticket and
-- may stand in line twice: those rows that are not stale.
CREATE OR REPLACE FUNCTION muster.claim_current(
	INOUT p_task bigint[], INOUT p_ticket smallint[], INOUT p_line int[])
LANGUAGE plpgsql AS $$
BEGIN
	SELECT array_agg(u.t ORDER BY u.t), array_agg(u.k ORDER BY u.t),
		array_agg(u.l ORDER BY u.t)
	INTO p_task, p_ticket, p_line
	FROM unnest(p_task, p_ticket, p_line) u(t, k, l)
	CROSS JOIN LATERAL (SELECT x.ticket FROM muster.task x
		WHERE x.id = u.t OFFSET 0) t
	WHERE t.ticket = u.k;
END
$$;

-- Nothing of the paused queues and kinds.
CREATE OR REPLACE FUNCTION muster.claim_unpaused(p_route int[], p_want int[])
RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
	v_shut int[] := ARRAY(SELECT r.id FROM muster.paused p
		JOIN muster.route r ON r.queue = p.queue OR r.kind = p.kind
		WHERE r.id = ANY (p_route));
BEGIN
	RETURN (SELECT array_agg(CASE WHEN u.route = ANY (v_shut) THEN 0
			ELSE u.want END ORDER BY u.o)
		FROM unnest(p_route, p_want) WITH ORDINALITY u(route, want, o));
END
$$;

-- Of a line's head, locked by the caller, the first p_want tasks, as far as p_bytes
-- allow, at least one task if p_first: the rows that go as a whole, and all that are
-- taken. A row of which some are taken is split; what stays is told, since others
-- have stepped over it. o_next: the seq of the first that stays.
CREATE OR REPLACE FUNCTION muster.claim_fitting(INOUT p_ctid tid[],
	p_route int, p_want int, p_bytes bigint, p_first boolean,
	OUT o_task bigint[], OUT o_ticket smallint[], OUT o_each int[],
	OUT o_sum bigint, OUT o_got int, OUT o_next bigint)
LANGUAGE plpgsql AS $$
DECLARE
	v_split tid;
	v_take int;
	v_all int;
BEGIN
	WITH f AS (
		SELECT x.*, greatest(least(x.n, p_want - x.tasks,
				(p_bytes - x.bytes) / nullif(x.size / x.n, 0)),
			(p_first AND x.tasks = 0)::int, 0)::int AS take
		FROM (SELECT r.ctid, r.task_id, r.ticket, r.seq, r.n, r.size,
				sum(r.n) OVER w - r.n AS tasks,
				sum(r.size) OVER w - r.size AS bytes
			FROM muster.ready r WHERE r.ctid = ANY (p_ctid)
			WINDOW w AS (ORDER BY r.seq)) x
	)
	SELECT array_agg(f.ctid) FILTER (WHERE f.take = f.n),
		array_agg(f.task_id ORDER BY f.seq) FILTER (WHERE f.take > 0),
		array_agg(f.ticket ORDER BY f.seq) FILTER (WHERE f.take > 0),
		array_agg(f.take ORDER BY f.seq) FILTER (WHERE f.take > 0),
		sum(f.size / f.n * f.take), sum(f.take), sum(f.n),
		min(f.ctid) FILTER (WHERE f.take BETWEEN 1 AND f.n - 1),
		min(f.take) FILTER (WHERE f.take BETWEEN 1 AND f.n - 1),
		coalesce(min(f.seq) FILTER (WHERE f.take < f.n), max(f.seq))
	INTO p_ctid, o_task, o_ticket, o_each, o_sum, o_got, v_all, v_split,
		v_take, o_next
	FROM f;
	IF o_got < p_want THEN
		o_sum := p_bytes;
	END IF;
	UPDATE muster.ready r SET task_id = r.task_id + v_take,
		n = r.n - v_take, size = r.size / r.n * (r.n - v_take)
	WHERE r.ctid = v_split;
	IF v_all > o_got THEN
		PERFORM muster.announce(ARRAY[p_route], ARRAY[v_all - o_got]);
	END IF;
END
$$;

-- Leases of up to 200 tasks each (longer arrays would be stored out of line, at
-- ten times the log); p_task without those that p_live, if not null, lacks.
CREATE OR REPLACE FUNCTION muster.claim_lease(p_worker bigint,
	p_lease bigint[], p_task bigint[], p_live bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_ids bigint[];
BEGIN
	FOR i IN 1 .. cardinality(p_lease) LOOP
		v_ids := p_task[(i - 1) * 200 + 1 : i * 200];
		IF p_live IS NOT NULL THEN
			v_ids := ARRAY(SELECT unnest(v_ids)
				INTERSECT SELECT unnest(p_live) ORDER BY 1);
			CONTINUE WHEN v_ids = '{}';
		END IF;
		INSERT INTO muster.lease (id, worker_id, taken_at, task_ids)
		VALUES (p_lease[i], p_worker, now(), v_ids);
	END LOOP;
END
$$;
