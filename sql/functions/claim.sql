-- Claiming: the second half of a turn. Only the heads of the lines are read.

-- Of several lines the ones that have something, in the order in which they
-- are served: the urgent first, within a rank the longest remaining path of a
-- flow, then the oldest. So that nothing starves, one turn in 16 serves the
-- oldest head whatever its rank, and one in 4 what is in no flow before what
-- is. l_start becomes where that head stands. Behind them, with null, those empty
-- ones of which p_top is worth telling as a floor.
CREATE OR REPLACE FUNCTION muster.claim_order(p_top bigint,
	INOUT l_route int[], INOUT l_rank int[], INOUT l_lane int[],
	INOUT l_start bigint[], INOUT l_told bigint[])
LANGUAGE plpgsql AS $$
DECLARE
	v_oldest boolean := random() < 1.0 / 16;
	v_flowless boolean := random() < 0.25;
BEGIN
	SELECT array_agg(h.r), array_agg(h.k), array_agg(h.l),
		array_agg(h.head), array_agg(h.t)
	INTO l_route, l_rank, l_lane, l_start, l_told
	FROM (
		SELECT u.*, a.seq AS head
		FROM unnest(l_route, l_rank, l_lane, l_start, l_told)
			u(r, k, l, b, t)
		LEFT JOIN LATERAL (SELECT x.seq FROM muster.ready x
			WHERE x.route_id = u.r AND x.rank = u.k AND x.lane = u.l
			AND x.seq >= u.b ORDER BY x.seq LIMIT 1) a ON true
		WHERE a.seq IS NOT NULL OR p_top > coalesce(u.t + 100, -1)
		ORDER BY a.seq IS NULL,
			CASE WHEN v_oldest THEN 0 ELSE u.k END,
			CASE WHEN v_oldest THEN 0
				WHEN v_flowless AND u.l = 8 THEN -1 ELSE u.l END,
			a.seq
	) h;
END
$$;

-- Takes up to p_want[i] tasks of p_route[i] from the heads of the lines, p_max in
-- all, p_max_bytes of payload (the first always fits). Of a task that was moved and
-- is met twice, the later standing. Where p_route[i] is -1,
-- the routes after it, up to the next such, get p_want[i] together; -2 does the
-- same, and ends at the next -1 or -2. Ascending by task; o_line
-- says from which line. f_*: the new floors.
-- Locks: ready (what others hold is stepped over). Called by turn.
CREATE OR REPLACE FUNCTION muster.claim(p_route int[], p_want int[],
	p_max int, p_max_bytes bigint, p_floor_route int[],
	p_floor_rank int[], p_floor_lane int[], p_floor_seq bigint[],
	OUT l_route int[], OUT l_rank int[], OUT l_lane int[],
	OUT o_task bigint[], OUT o_ticket smallint[], OUT o_line int[],
	OUT f_line int[], OUT f_seq bigint[])
LANGUAGE plpgsql AS $$
DECLARE
	v_top bigint;
	v_paused boolean;
	v_start bigint[];
	v_told bigint[];
	v_want int[] := p_want;
	v_left int := p_max;
	v_bytes bigint := p_max_bytes;
	v_n int;
	v_got int;
	v_at int;
	v_grouped boolean := 0 > ANY (p_route);
	v_bounds int[];
	v_bound int;
	v_floor bigint;
	v_sum bigint;
	v_ctid tid[];
	v_task bigint[];
	v_ticket smallint[];
	v_spread bigint; -- 0: the tasks are in the order of seq
	v_uneven boolean := false;
	v_moved boolean;
BEGIN
	SELECT s.last_value, EXISTS (SELECT FROM muster.paused)
	INTO v_top, v_paused FROM muster.ready_seq s;
	IF v_paused THEN
		v_want := muster.claim_unpaused(p_route, p_want);
	END IF;
	SELECT array_agg(l.r), array_agg(l.k), array_agg(l.l),
		array_agg(coalesce(l.seq, (SELECT m.mark FROM muster.lane_mark m
			WHERE m.route_id = l.r AND m.rank = l.k AND m.lane = l.l
			ORDER BY m.mark DESC LIMIT 1), 0)),
		array_agg(l.seq)
	INTO l_route, l_rank, l_lane, v_start, v_told
	FROM (
		SELECT u.r, u.k, u.l, max(u.seq) AS seq
		FROM (
			SELECT x.route_id AS r, x.rank AS k, x.lane AS l,
				NULL::bigint AS seq
			FROM muster.lanes x WHERE x.route_id = ANY (p_route)
			UNION ALL
			SELECT f.r, f.k, f.l, f.seq FROM unnest(p_floor_route,
				p_floor_rank, p_floor_lane, p_floor_seq)
				f(r, k, l, seq)
			WHERE f.r = ANY (p_route)
		) u
		GROUP BY u.r, u.k, u.l
	) l;
	IF cardinality(l_route) > 1 THEN
		SELECT o.* INTO l_route, l_rank, l_lane, v_start, v_told
		FROM muster.claim_order(v_top, l_route, l_rank, l_lane,
			v_start, v_told) o;
	END IF;
	FOR i IN 1 .. coalesce(cardinality(l_route), 0) LOOP
		IF v_start[i] IS NULL THEN
			f_line := f_line || i;
			f_seq := f_seq || v_top;
			CONTINUE;
		END IF;
		v_at := array_position(p_route, l_route[i]);
		v_n := least(v_want[v_at], v_left);
		v_bounds := '{}';
		IF v_grouped THEN
			FOR g IN REVERSE v_at .. 1 LOOP
				CONTINUE WHEN p_route[g] > 0
					OR p_route[g] = -2 AND v_bounds <> '{}';
				v_bounds := v_bounds || g;
				v_n := least(v_n, v_want[g]);
				EXIT WHEN p_route[g] = -1;
			END LOOP;
		END IF;
		CONTINUE WHEN v_n <= 0 OR v_bytes <= 0;
		SELECT array_agg(h.ctid), array_agg(h.task_id),
			array_agg(h.ticket), sum(h.size), count(*), min(h.seq),
			max(h.task_id - h.seq) - min(h.task_id - h.seq)
		INTO v_ctid, v_task, v_ticket, v_sum, v_got, v_floor, v_spread
		FROM (SELECT r.ctid, r.task_id, r.ticket, r.seq, r.size
			FROM muster.ready r
			WHERE r.route_id = l_route[i]
			AND r.rank = l_rank[i] AND r.lane = l_lane[i]
			AND r.seq >= v_start[i]
			ORDER BY r.seq LIMIT v_n FOR UPDATE SKIP LOCKED) h;
		IF v_sum > v_bytes THEN
			SELECT f.* INTO v_ctid, v_task, v_ticket, v_got
			FROM muster.claim_fitting(v_ctid, v_bytes,
				o_task IS NULL) f;
			v_sum := v_bytes;
		ELSIF v_got < v_n THEN
			v_floor := v_top;
		END IF;
		IF v_floor > coalesce(v_told[i]
				+ CASE WHEN v_got > 0 THEN 0 ELSE 100 END, -1) THEN
			f_line := f_line || i;
			f_seq := f_seq || v_floor;
		END IF;
		CONTINUE WHEN v_got = 0;
		v_bytes := v_bytes - v_sum;
		v_want[v_at] := v_want[v_at] - v_got;
		FOREACH v_bound IN ARRAY v_bounds LOOP
			v_want[v_bound] := v_want[v_bound] - v_got;
		END LOOP;
		v_left := v_left - v_got;
		DELETE FROM muster.ready r WHERE r.ctid = ANY (v_ctid);
		IF o_task IS NULL THEN
			o_task := v_task;
			o_ticket := v_ticket;
			o_line := array_fill(i, ARRAY[v_got]);
			v_uneven := v_spread > 0;
		ELSE
			v_uneven := true;
			o_task := o_task || v_task;
			o_ticket := o_ticket || v_ticket;
			o_line := o_line || array_fill(i, ARRAY[v_got]);
		END IF;
	END LOOP;
	IF v_uneven THEN
		SELECT array_agg(u.t), array_agg(u.k), array_agg(u.l),
			max(u.k) > 0
		INTO o_task, o_ticket, o_line, v_moved
		FROM (SELECT * FROM unnest(o_task, o_ticket, o_line) x(t, k, l)
			ORDER BY x.t) u;
		IF v_moved THEN
			SELECT c.* INTO o_task, o_ticket, o_line
			FROM muster.claim_current(o_task, o_ticket, o_line) c;
		END IF;
	END IF;
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

-- Of a line's head, locked by the caller, as much as p_bytes allow, at least one
-- task if p_first; the rest stays where it is.
CREATE OR REPLACE FUNCTION muster.claim_fitting(INOUT p_ctid tid[],
	p_bytes bigint, p_first boolean,
	OUT o_task bigint[], OUT o_ticket smallint[], OUT o_got int)
LANGUAGE plpgsql AS $$
BEGIN
	SELECT array_agg(f.c), array_agg(f.t), array_agg(f.k), count(*)
	INTO p_ctid, o_task, o_ticket, o_got
	FROM (SELECT * FROM (SELECT r.ctid AS c, r.task_id AS t, r.ticket AS k,
			sum(r.size) OVER (ORDER BY r.seq) AS total,
			row_number() OVER (ORDER BY r.seq) AS n
			FROM muster.ready r WHERE r.ctid = ANY (p_ctid)) x
		WHERE x.total <= p_bytes OR (p_first AND x.n = 1)
		ORDER BY x.t) f;
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
		INSERT INTO muster.lease
		VALUES (p_lease[i], p_worker, now(), v_ids);
	END LOOP;
END
$$;
