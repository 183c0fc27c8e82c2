-- A worker's turn: finish what is done, claim what there is room for; one
-- statement, one transaction, one round trip.

-- The parameters and rows are told in README.md. Locks: out carry_out(), which
-- may cancel what is ready only while nobody claims; worker for key share (a
-- rescue that has marked it dead wins; one that comes later waits), then as
-- finish() and claim().
CREATE OR REPLACE FUNCTION muster.turn(p_worker bigint, p_lease bigint[],
	p_task bigint[], p_outcome text, p_ran_ms int[], p_delay_ms bigint[],
	p_result text[], p_error text[], p_route int[], p_want int[],
	p_max int, p_max_bytes bigint, p_floor_route int[],
	p_floor_rank int[], p_floor_lane int[], p_floor_seq bigint[],
	p_chain int[] DEFAULT NULL)
RETURNS TABLE (what text, lease bigint, task bigint, route int, rank int,
	lane int, seq bigint, flow bigint, attempt int, snoozes int,
	max_attempts int, timeout_ms bigint, has_needs boolean, payload text,
	rescues int, followers bigint[], expect_ms real)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
	v_fenced_lease bigint[];
	v_fenced_task bigint[];
	v_cancel bigint[];
	v_hit record;
	v_follower bigint[]; -- as claim_chains() tells
	v_from int[];
	v_to int[];
	v_width int;
	v_lease bigint[];
	v_count int;
	v_first bigint;
	v_last bigint;
	v_whole boolean;
	v_live bigint[]; -- of those claimed, unless all are
	v_urgency bigint[]; -- of each line of which something is claimed
	v_line int; -- where all are of one
	v_route int;
	v_seq bigint;
	v_left int[];
	v_ended record;
	-- Assigned what gives nothing: a PERFORM costs three times as much.
	v_done text;
BEGIN
	v_done := muster.check_isolation();
	v_done := pg_advisory_xact_lock_shared(hashtext('muster turn'));
	PERFORM FROM muster.worker w
	WHERE w.id = p_worker AND w.dead_at IS NULL FOR KEY SHARE;
	IF NOT FOUND THEN
		what := 'd';
		RETURN NEXT;
		RETURN;
	END IF;
	v_done := set_config('muster.turn_routes', '{}', true);
	IF cardinality(p_task) > 0 THEN
		v_ended := muster.finish(p_worker, p_lease, p_task, p_outcome,
			p_ran_ms, p_delay_ms, p_result, p_error);
		v_fenced_lease := v_ended.fenced_lease;
		v_fenced_task := v_ended.fenced_task;
		what := 'f';
		FOR i IN 1 .. coalesce(cardinality(v_fenced_task), 0) LOOP
			lease := v_fenced_lease[i];
			task := v_fenced_task[i];
			RETURN NEXT;
		END LOOP;
		lease := NULL;
	END IF;
	what := 'x';
	FOR task IN SELECT c.task_id FROM muster.cancelling c
			WHERE c.worker_id = p_worker LOOP
		RETURN NEXT;
	END LOOP;
	IF p_max > 0 AND cardinality(p_route) > 0 AND v_fenced_task IS NULL THEN
		v_hit := muster.claim(p_route, p_want, p_max, p_max_bytes,
			p_floor_route, p_floor_rank, p_floor_lane, p_floor_seq);
		v_left := v_hit.o_want;
	END IF;
	IF current_setting('muster.turn_routes') <> '{}' THEN
		v_done := muster.announce_turn(p_worker, p_route, v_left);
	END IF;
	v_done := set_config('muster.turn_routes', '', true);
	IF v_left IS NULL THEN
		RETURN;
	END IF;
	what := 'l';
	task := NULL;
	FOR i IN 1 .. coalesce(cardinality(v_hit.f_line), 0) LOOP
		route := v_hit.l_route[v_hit.f_line[i]];
		rank := v_hit.l_rank[v_hit.f_line[i]];
		lane := v_hit.l_lane[v_hit.f_line[i]];
		seq := v_hit.f_seq[i];
		RETURN NEXT;
	END LOOP;
	IF v_hit.o_task IS NULL THEN
		RETURN;
	END IF;
	IF v_hit.o_line[1] = ALL (v_hit.o_line) THEN
		v_line := v_hit.o_line[1];
		v_route := v_hit.l_route[v_line];
		v_seq := nullif(9::bigint * v_hit.l_rank[v_line]
			+ v_hit.l_lane[v_line], 8);
		v_urgency[v_line] := v_seq;
	ELSE
		v_urgency := ARRAY(SELECT 9::bigint * u.k + u.l
			FROM unnest(v_hit.l_rank, v_hit.l_lane)
				WITH ORDINALITY u(k, l, o) ORDER BY u.o);
	END IF;
	IF p_chain IS NOT NULL AND v_hit.o_keyed > 0 THEN
		SELECT c.* INTO v_follower, v_from, v_to, v_width
		FROM muster.claim_chains(v_hit.o_task,
			v_hit.o_ticket, v_hit.o_line, v_hit.l_route,
			ARRAY(SELECT p_chain[array_position(p_route, u.r)]
				FROM unnest(v_hit.l_route) u(r)),
			v_hit.o_left, v_hit.o_bytes) c;
	END IF;
	IF v_follower IS NOT NULL THEN
		v_count := cardinality(v_hit.o_task);
		FOR i IN 1 .. (v_count + v_from[v_count] - 2)
				/ v_width + 1 LOOP
			v_lease[i] := nextval('muster.lease_id');
		END LOOP;
		RETURN QUERY
		SELECT 'c', v_lease[(t.p + v_from[t.p] - 2) / v_width + 1], t.id,
			v_hit.l_route[v_hit.o_line[t.p]],
			NULL::int, NULL::int, v_urgency[v_hit.o_line[t.p]],
			t.flow_id, t.attempts + 1, t.snoozes,
			t.max_attempts, t.timeout_ms, t.has_needs,
			CASE WHEN t.size <= 65536 THEN t.payload END,
			t.rescues::int, v_follower[v_from[t.p]:v_to[t.p]],
			t.expect_ms
		FROM (SELECT width_bucket(x.id, v_hit.o_task) AS p, x.*
			FROM muster.task x
			WHERE x.id = ANY (v_hit.o_task)
			OFFSET 0) t
		WHERE t.ticket = v_hit.o_ticket[t.p] AND t.state IS NULL;
		GET DIAGNOSTICS v_count = ROW_COUNT;
		v_done := muster.chain_lease(p_worker, v_lease, v_hit.o_task,
			v_follower, v_from, v_to, v_width,
			CASE WHEN v_count < cardinality(v_hit.o_task) THEN
				ARRAY(SELECT t.id FROM muster.task t
				WHERE t.id = ANY (v_hit.o_task) AND t.state IS NULL
				AND t.ticket = v_hit.o_ticket[
					width_bucket(t.id, v_hit.o_task)]) END);
		RETURN QUERY
		SELECT 'n', NULL::bigint, t.id, NULL::int, NULL::int, NULL::int,
			NULL::bigint, t.flow_id, t.attempts + 1, t.snoozes,
			t.max_attempts, t.timeout_ms, t.has_needs,
			CASE WHEN t.size <= 65536 THEN t.payload END,
			t.rescues::int, NULL::bigint[], t.expect_ms
		FROM muster.task t
		WHERE t.id = ANY (v_follower) AND t.state IS NULL;
		RETURN;
	END IF;
	FOR i IN 1 .. (cardinality(v_hit.o_task) + 199) / 200 LOOP
		v_lease[i] := nextval('muster.lease_id');
	END LOOP;
	-- Where the ids lie close, one walk along the index is cheaper than a
	-- search for each.
	v_first := v_hit.o_task[1];
	v_last := v_hit.o_task[cardinality(v_hit.o_task)];
	v_whole := v_last - v_first = cardinality(v_hit.o_task) - 1;
	IF v_last - v_first < 4 * cardinality(v_hit.o_task) THEN
		RETURN QUERY
		SELECT 'c', v_lease[(t.p - 1) / 200 + 1], t.id,
			CASE WHEN v_route IS NULL THEN
				v_hit.l_route[v_hit.o_line[t.p]] ELSE v_route END,
			NULL::int, NULL::int, CASE WHEN v_route IS NULL THEN
				v_urgency[v_hit.o_line[t.p]] ELSE v_seq END,
			t.flow_id,
			t.attempts + 1, t.snoozes,
			t.max_attempts, t.timeout_ms, t.has_needs,
			CASE WHEN t.size <= 65536 THEN t.payload END,
			t.rescues::int, NULL::bigint[], t.expect_ms
		FROM (SELECT CASE WHEN v_whole THEN (x.id - v_first + 1)::int
				ELSE width_bucket(x.id, v_hit.o_task) END AS p, x.*
			FROM muster.task x
			WHERE x.id BETWEEN v_first AND v_last
			OFFSET 0) t
		WHERE (v_whole OR v_hit.o_task[t.p] = t.id)
			AND t.ticket = v_hit.o_ticket[t.p] AND t.state IS NULL;
	ELSE
		RETURN QUERY
		SELECT 'c', v_lease[(t.p - 1) / 200 + 1], t.id,
			CASE WHEN v_route IS NULL THEN
				v_hit.l_route[v_hit.o_line[t.p]] ELSE v_route END,
			NULL::int, NULL::int, CASE WHEN v_route IS NULL THEN
				v_urgency[v_hit.o_line[t.p]] ELSE v_seq END,
			t.flow_id,
			t.attempts + 1, t.snoozes,
			t.max_attempts, t.timeout_ms, t.has_needs,
			CASE WHEN t.size <= 65536 THEN t.payload END,
			t.rescues::int, NULL::bigint[], t.expect_ms
		FROM (SELECT width_bucket(x.id, v_hit.o_task) AS p, x.*
			FROM muster.task x
			WHERE x.id = ANY (v_hit.o_task)
			OFFSET 0) t
		WHERE t.ticket = v_hit.o_ticket[t.p] AND t.state IS NULL;
	END IF;
	GET DIAGNOSTICS v_count = ROW_COUNT;
	IF v_count < cardinality(v_hit.o_task) THEN
		v_live := ARRAY(SELECT t.id FROM muster.task t
			WHERE t.id = ANY (v_hit.o_task) AND t.state IS NULL
			AND t.ticket = v_hit.o_ticket[
				width_bucket(t.id, v_hit.o_task)]);
	END IF;
	v_done := muster.claim_lease(p_worker, v_lease, v_hit.o_task, v_live);
END
$$;
