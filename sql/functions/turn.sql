-- A worker's turn: finish what is done, claim what there is room for; one
-- statement, one transaction, one round trip.

-- The parameters and rows are told in README.md. Locks: worker for key share
-- (a rescue that has marked it dead wins; one that comes later waits), then
-- as finish() and claim().
CREATE OR REPLACE FUNCTION muster.turn(p_worker bigint, p_lease bigint[],
	p_task bigint[], p_outcome text, p_ran_ms int[], p_delay_ms bigint[],
	p_result text[], p_error text[], p_route int[], p_want int[],
	p_max int, p_max_bytes bigint, p_floor_route int[],
	p_floor_rank int[], p_floor_lane int[], p_floor_seq bigint[])
RETURNS TABLE (what text, lease bigint, task bigint, route int, rank int,
	lane int, seq bigint, flow bigint, attempt int, snoozes int,
	max_attempts int, timeout_ms bigint, has_needs boolean, payload text,
	rescues int)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
	v_fenced_lease bigint[];
	v_fenced_task bigint[];
	v_cancel bigint[];
	v_hit record;
	v_lease bigint[];
	v_count int;
BEGIN
	PERFORM muster.check_isolation();
	PERFORM FROM muster.worker w
	WHERE w.id = p_worker AND w.dead_at IS NULL FOR KEY SHARE;
	IF NOT FOUND THEN
		what := 'd';
		RETURN NEXT;
		RETURN;
	END IF;
	IF cardinality(p_task) > 0 THEN
		SELECT f.fenced_lease, f.fenced_task
		INTO v_fenced_lease, v_fenced_task
		FROM muster.finish(p_worker, p_lease, p_task, p_outcome,
			p_ran_ms, p_delay_ms, p_result, p_error) f;
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
	IF p_max <= 0 OR cardinality(p_route) = 0
			OR v_fenced_task IS NOT NULL THEN
		RETURN;
	END IF;
	SELECT * INTO v_hit FROM muster.claim(p_route, p_want, p_max,
		p_max_bytes, p_floor_route, p_floor_rank, p_floor_lane,
		p_floor_seq);
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
	FOR i IN 1 .. (cardinality(v_hit.o_task) + 199) / 200 LOOP
		v_lease[i] := nextval('muster.lease_id');
	END LOOP;
	-- Waits for nobody who waits: those who lock a task for update (cancel,
	-- purge) step over what is locked. What they changed is stale here.
	RETURN QUERY
	SELECT 'c', v_lease[(t.p - 1) / 200 + 1], t.id,
		v_hit.l_route[v_hit.o_line[t.p]], NULL::int, NULL::int,
		NULL::bigint, t.flow_id, t.attempts + 1, t.snoozes,
		t.max_attempts, t.timeout_ms, t.has_needs, t.payload,
		t.rescues::int
	FROM (SELECT width_bucket(x.id, v_hit.o_task) AS p, x.id, x.flow_id,
			x.attempts, x.snoozes, x.max_attempts, x.timeout_ms,
			x.has_needs, x.ticket, x.state, x.rescues,
			CASE WHEN x.size <= 65536 THEN x.payload END AS payload
		FROM muster.task x WHERE x.id = ANY (v_hit.o_task)
		FOR KEY SHARE) t
	WHERE t.ticket = v_hit.o_ticket[t.p] AND t.state IS NULL;
	GET DIAGNOSTICS v_count = ROW_COUNT;
	PERFORM muster.claim_lease(p_worker, v_lease, v_hit.o_task,
		CASE WHEN v_count < cardinality(v_hit.o_task) THEN
			ARRAY(SELECT t.id FROM muster.task t
				WHERE t.id = ANY (v_hit.o_task) AND t.state IS NULL
				AND t.ticket = v_hit.o_ticket[
					width_bucket(t.id, v_hit.o_task)]) END);
END
$$;
