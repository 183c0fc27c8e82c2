-- The safe mark: below it no transaction can add anything any more. A reader
-- that holds back the vacuum does not hold back the mark, so lists that are
-- emptied at their head are entered at the mark and not at their dead rows.

-- The lists in order of an id or a number. Their marks stand in lane_mark under
-- route 0, which no pair has.
CREATE OR REPLACE FUNCTION muster.list_lane(p_list text)
RETURNS smallint LANGUAGE sql IMMUTABLE AS $$
	SELECT (array_position(ARRAY['flow_delta', 'remainder', 'arriving',
		'request', 'expansion', 'lock_freed', 'lease', 'flow_ends'],
		p_list) - 1)::smallint
$$;

-- Where to enter one of them.
CREATE OR REPLACE FUNCTION muster.list_mark(p_list text)
RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
	RETURN coalesce((SELECT m.mark FROM muster.lane_mark m
		WHERE m.route_id = 0 AND m.rank = 0
			AND m.lane = muster.list_lane(p_list)
		ORDER BY m.mark DESC LIMIT 1), 0);
END
$$;

-- Moves the marks; to be called about once a second. One at a time in the
-- database.
-- A probe is the last values of the sequences and then, afterwards, a
-- transaction number of its own. (Not a snapshot's xmax: that is the last number
-- that has ended, plus one, and what is open may lie beyond it.) Every
-- transaction has its number before it draws from a sequence. So once all
-- numbers below the probe's have ended, whatever was drawn up to its values has
-- been committed or never will be. The probe is settled, and stays so: its
-- values are safe from then on, however often they are applied.
-- While no sequence moves, another probe would have the same values, so none is
-- taken: an idle database is not written to. The settled one is applied again,
-- since a line may be emptied while nothing is drawn; that writes only a mark
-- that moves. Only the marks that also rest on the clock stand still meanwhile at
-- the latest: that of scheduled, but what is due draws from ready_seq when it leaves,
-- so there is nothing to walk over but what was cancelled; those of finished and
-- kept, but what ends has drawn a lease or a request.
CREATE OR REPLACE FUNCTION muster.mark()
RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
	v_probe muster.probe;
	v_seq bigint;
	v_lists bigint[];
	v_at timestamptz;
BEGIN
	PERFORM muster.check_isolation();
	IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
		RAISE EXCEPTION 'mark() must stand alone in its transaction';
	ELSIF NOT pg_try_advisory_xact_lock(hashtext('muster mark')) THEN
		RETURN;
	END IF;
	SELECT * INTO v_probe FROM muster.probe p ORDER BY p.id DESC LIMIT 1;
	IF pg_snapshot_xmin(pg_current_snapshot()) < v_probe.horizon THEN
		RETURN;
	END IF;
	v_at := clock_timestamp();
	SELECT s.last_value INTO v_seq FROM muster.ready_seq s;
	v_lists := muster.list_ends();
	IF v_probe.id IS NOT NULL THEN
		PERFORM muster.mark_lines(v_probe.seq),
			muster.mark_scheduled(v_probe.at),
			muster.mark_times(v_probe.at),
			muster.mark_lists(v_probe.lists);
		IF v_seq = v_probe.seq AND v_lists = v_probe.lists THEN
			RETURN;
		END IF;
		DELETE FROM muster.probe p WHERE p.id <= v_probe.id;
	END IF;
	-- A number that the marks above have taken came after the values too.
	INSERT INTO muster.probe (seq, lists, at, horizon)
	VALUES (v_seq, v_lists, v_at, pg_current_xact_id());
END
$$;

-- A line's mark is its smallest visible seq up to p_seq, or p_seq. What a claim
-- under way has taken is still visible here: it may be given back. A mark that
-- would move by little stays: a generation each second would be too many.
CREATE OR REPLACE FUNCTION muster.mark_lines(p_seq bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_line record;
BEGIN
	FOR v_line IN
		SELECT l.*, coalesce(m.mark, 0) AS old,
			least(coalesce(r.seq, p_seq), p_seq) AS new
		FROM (SELECT DISTINCT x.route_id, x.rank, x.lane
			FROM muster.lanes x) l
		LEFT JOIN LATERAL (SELECT x.mark FROM muster.lane_mark x
			WHERE x.route_id = l.route_id AND x.rank = l.rank
				AND x.lane = l.lane
			ORDER BY x.mark DESC LIMIT 1) m ON true
		LEFT JOIN LATERAL (SELECT x.seq FROM muster.ready x
			WHERE x.route_id = l.route_id AND x.rank = l.rank
				AND x.lane = l.lane AND x.seq >= coalesce(m.mark, 0)
			ORDER BY x.seq LIMIT 1) r ON true
	LOOP
		IF v_line.new >= v_line.old + 1000 THEN
			PERFORM muster.mark_set(v_line.route_id, v_line.rank,
				v_line.lane, v_line.new);
		END IF;
	END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION muster.mark_set(
	p_route int, p_rank smallint, p_lane smallint, p_mark bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM muster.lane_mark m WHERE m.route_id = p_route
		AND m.rank = p_rank AND m.lane = p_lane;
	INSERT INTO muster.lane_mark VALUES (p_route, p_rank, p_lane, p_mark);
END
$$;

-- The last numbers that were drawn for the lists, in the order of list_lane().
CREATE OR REPLACE FUNCTION muster.list_ends()
RETURNS bigint[] LANGUAGE plpgsql AS $$
BEGIN
	RETURN ARRAY[(SELECT s.last_value FROM muster.flow_delta_id s),
		(SELECT s.last_value FROM muster.remainder_id s),
		(SELECT s.last_value FROM muster.arriving_seq s),
		(SELECT s.last_value FROM muster.request_id s),
		(SELECT s.last_value FROM muster.expansion_id s),
		(SELECT s.last_value FROM muster.lock_freed_id s),
		(SELECT s.last_value FROM muster.lease_id s),
		(SELECT s.last_value FROM muster.flow_delta_id s)];
END
$$;

-- p_safe: as list_ends(). A list is entered at its first row, or where it is safe.
CREATE OR REPLACE FUNCTION muster.mark_lists(p_safe bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM muster.mark_list('flow_delta', p_safe, (SELECT x.id
			FROM muster.flow_delta x
			WHERE x.id >= muster.list_mark('flow_delta')
			ORDER BY x.id LIMIT 1)),
		muster.mark_list('remainder', p_safe, (SELECT x.id
			FROM muster.remainder x
			WHERE x.id >= muster.list_mark('remainder')
			ORDER BY x.id LIMIT 1)),
		muster.mark_list('arriving', p_safe, least((SELECT x.seq
			FROM muster.arriving x
			WHERE x.seq >= muster.list_mark('arriving')
			ORDER BY x.seq LIMIT 1), (SELECT x.seq
			FROM muster.placing x
			WHERE x.seq >= muster.list_mark('arriving')
			ORDER BY x.seq LIMIT 1))),
		muster.mark_list('request', p_safe, (SELECT x.id
			FROM muster.request x
			WHERE x.done_at IS NULL
				AND x.id >= muster.list_mark('request')
			ORDER BY x.id LIMIT 1)),
		muster.mark_list('expansion', p_safe, (SELECT x.id
			FROM muster.expansion x
			WHERE x.id >= muster.list_mark('expansion')
			ORDER BY x.id LIMIT 1)),
		muster.mark_list('lock_freed', p_safe, (SELECT x.id
			FROM muster.lock_freed x
			WHERE x.id >= muster.list_mark('lock_freed')
			ORDER BY x.id LIMIT 1)),
		muster.mark_list('lease', p_safe, (SELECT x.id
			FROM muster.lease x
			WHERE x.id >= muster.list_mark('lease')
			ORDER BY x.id LIMIT 1)),
		muster.mark_list('flow_ends', p_safe, (SELECT x.id
			FROM muster.flow_ends x
			WHERE x.id >= muster.list_mark('flow_ends')
			ORDER BY x.id LIMIT 1));
END
$$;

CREATE OR REPLACE FUNCTION muster.mark_list(
	p_list text, p_safe bigint[], p_first bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_lane CONSTANT smallint := muster.list_lane(p_list);
	v_new CONSTANT bigint := least(p_first, p_safe[v_lane + 1]);
BEGIN
	IF v_new >= muster.list_mark(p_list) + 1000 THEN
		PERFORM muster.mark_set(0, 0::smallint, v_lane, v_new);
	END IF;
END
$$;

-- Clients look at the clock after they have their number, and put into
-- scheduled only what is due later than that.
CREATE OR REPLACE FUNCTION muster.mark_scheduled(p_at timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_old timestamptz := coalesce((SELECT m.mark FROM muster.scheduled_mark m
		ORDER BY m.mark DESC LIMIT 1), '-infinity');
	v_new timestamptz := least(p_at, (SELECT s.run_at
		FROM muster.scheduled s WHERE s.run_at >= v_old
		ORDER BY s.run_at LIMIT 1));
BEGIN
	IF v_new > v_old + interval '5 s' OR v_old = '-infinity' THEN
		DELETE FROM muster.scheduled_mark m WHERE m.mark < v_new;
		INSERT INTO muster.scheduled_mark VALUES (v_new);
	END IF;
END
$$;

-- Where to enter finished or kept.
CREATE OR REPLACE FUNCTION muster.time_mark(p_list text)
RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
BEGIN
	RETURN coalesce((SELECT m.mark FROM muster.time_mark m
		WHERE m.list = p_list ORDER BY m.mark DESC LIMIT 1), '-infinity');
END
$$;

-- Whoever inserts there looks at the clock after it has its number, too.
CREATE OR REPLACE FUNCTION muster.mark_times(p_at timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM muster.mark_time('finished', least(p_at, (SELECT f.at
			FROM muster.finished f
			WHERE f.at >= muster.time_mark('finished')
			ORDER BY f.at LIMIT 1))),
		muster.mark_time('kept', least(p_at, (SELECT k.at
			FROM muster.kept k WHERE k.at >= muster.time_mark('kept')
			ORDER BY k.at LIMIT 1)));
END
$$;

CREATE OR REPLACE FUNCTION muster.mark_time(p_list text, p_mark timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF p_mark > muster.time_mark(p_list) + interval '1 s' THEN
		DELETE FROM muster.time_mark m
		WHERE m.list = p_list AND m.mark < p_mark;
		INSERT INTO muster.time_mark VALUES (p_list, p_mark);
	END IF;
END
$$;
