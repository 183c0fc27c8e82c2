-- Finishing what a worker ran: the first half of a turn.

-- Takes what is in the worker's leases, gives back the rest as fenced.
-- Locks: lease, then task, each in order; then as settle_final(). Called by turn
-- and sql_tasks, which hold the worker's row.
CREATE OR REPLACE FUNCTION muster.finish(p_worker bigint, p_lease bigint[],
	p_task bigint[], p_outcome text, p_ran_ms int[], p_delay_ms bigint[],
	p_result text[], p_error text[],
	OUT fenced_lease bigint[], OUT fenced_task bigint[])
LANGUAGE plpgsql AS $$
DECLARE
	v_lease bigint;
	v_tasks bigint[];
	v_from int;
	v_to int := 0;
	v_part bigint[];
	v_left bigint[];
	v_last bigint;
	v_mixed boolean := false;
	v_exact boolean := true;
	v_over bigint[];
	v_have_lease bigint[];
	v_have_task bigint[];
	v_ids bigint[] := p_task;
	v_out "char"[];
	v_ran_ms int[] := p_ran_ms;
	v_delay_ms bigint[] := p_delay_ms;
	v_result text[] := p_result;
	v_error text[] := p_error;
	v_follow bigint[];
	v_chained bigint[]; -- leases with followers
	v_bare bigint[]; -- those that have no slot to hand on
	v_done text; -- as in turn()
	v_failed CONSTANT boolean := p_outcome ~ '[^s]';
	v_alone CONSTANT boolean := NOT v_failed -- the ids tell all
		AND p_ran_ms = '{}' AND p_result = '{}';
BEGIN
	-- A worker tells its tasks in the order of their leases, and within a
	-- lease they ascend: a part of the array for each lease, which has all
	-- of it. Whatever else comes is compared as sets.
	FOR v_lease, v_tasks, v_follow IN
			SELECT x.id, x.task_ids, x.followers FROM muster.lease x
			WHERE x.id = ANY (p_lease) AND x.worker_id = p_worker
			ORDER BY x.id FOR UPDATE LOOP
		v_have_task := v_have_task || v_tasks;
		v_have_lease := v_have_lease
			|| array_fill(v_lease, ARRAY[cardinality(v_tasks)]);
		IF v_follow IS NOT NULL THEN
			v_chained := v_chained || v_lease;
		END IF;
		CONTINUE WHEN NOT v_exact;
		v_from := v_to + 1;
		v_to := width_bucket(v_lease, p_lease);
		v_part := p_task[v_from:v_to];
		v_exact := v_from <= v_to AND p_lease[v_from:v_to]
			= array_fill(v_lease, ARRAY[cardinality(v_part)]);
		v_mixed := v_mixed OR coalesce(v_part[1] < v_last, false);
		v_last := v_part[cardinality(v_part)];
		IF v_exact AND v_part = v_tasks THEN
			v_over := v_over || v_lease;
			v_bare := v_bare || v_follow;
		ELSIF v_exact THEN
			v_left := ARRAY(SELECT t FROM unnest(v_tasks) t
				WHERE v_part[width_bucket(t, v_part)]
					IS DISTINCT FROM t);
			v_exact := cardinality(v_left) + cardinality(v_part)
				= cardinality(v_tasks);
			UPDATE muster.lease l SET task_ids = v_left
			WHERE l.id = v_lease AND v_exact AND v_follow IS NULL;
		END IF;
	END LOOP;
	v_exact := v_exact AND v_to = cardinality(p_task);
	IF NOT v_exact THEN
		SELECT array_agg(f.lease), array_agg(f.task)
		INTO fenced_lease, fenced_task
		FROM (SELECT * FROM unnest(p_lease, p_task) u(lease, task)
			EXCEPT
			SELECT * FROM unnest(v_have_lease, v_have_task)) f;
	END IF;
	IF v_mixed AND v_exact AND v_alone THEN
		v_ids := ARRAY(SELECT unnest(p_task) ORDER BY 1);
	ELSIF v_mixed OR NOT v_exact OR v_failed THEN
		SELECT array_agg(u.task), array_agg(u.c), array_agg(u.ran_ms),
			array_agg(u.delay_ms), array_agg(u.result),
			array_agg(u.error)
		INTO v_ids, v_out, v_ran_ms, v_delay_ms, v_result, v_error
		FROM (SELECT * FROM unnest(p_task,
				string_to_array(p_outcome, NULL)::"char"[],
				p_ran_ms, p_delay_ms, p_result, p_error)
				x(task, c, ran_ms, delay_ms, result, error)
			WHERE fenced_task IS NULL OR x.task <> ALL (fenced_task)
			ORDER BY x.task) u;
	END IF;
	IF v_ids IS NULL THEN
		RETURN;
	END IF;
	IF v_chained IS NOT NULL THEN
		v_bare := v_bare || muster.finish_chains(
			muster.without(v_chained, v_over), v_ids);
	END IF;
	IF v_failed THEN
		v_done := muster.finish_tasks(p_worker, v_ids, v_out, v_ran_ms,
			v_delay_ms, v_result, v_error, v_bare);
	ELSE
		v_done := muster.finish_successes(p_worker, v_ids,
			CASE WHEN p_ran_ms <> '{}' THEN v_ran_ms END,
			CASE WHEN p_result <> '{}' THEN v_result END, v_bare);
	END IF;
	IF v_exact THEN
		DELETE FROM muster.lease l WHERE l.id = ANY (v_over);
	ELSE
		PERFORM muster.finish_leases(v_have_lease, v_have_task, v_ids);
	END IF;
END
$$;

-- The shortest way: p_ids (ascending) succeeded; the other arrays, which may be
-- null, tell about each. The index is walked in order of the ids, so the update is
-- the lock in order; a success stands, even if a cancel came first. Where the
-- ids lie close, one walk along the index is cheaper than a search for each. p_bare:
-- as in settle_final().
CREATE OR REPLACE FUNCTION muster.finish_successes(p_worker bigint,
	p_ids bigint[], p_ran_ms int[], p_result text[], p_bare bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_first CONSTANT bigint := p_ids[1];
	v_last CONSTANT bigint := p_ids[cardinality(p_ids)];
	v_whole CONSTANT boolean := v_last - v_first = cardinality(p_ids) - 1;
	v_bare CONSTANT boolean := p_ran_ms IS NULL AND p_result IS NULL;
	v_flows bigint[];
	v_locks bigint[];
	v_needs bigint[];
	v_soles bigint[]; -- 0: of that task there is more to tell
	v_inside int; -- of these are in flows
	v_absent bigint[];
BEGIN
	IF v_whole THEN
		WITH t AS (
			UPDATE muster.task x SET state = 's', finished_at = now(),
				worker_id = p_worker, attempts = x.attempts + 1,
				error = NULL,
				ran_ms = CASE WHEN v_bare THEN NULL
					ELSE p_ran_ms[x.id - v_first + 1] END,
				result = CASE WHEN v_bare THEN NULL
					ELSE p_result[x.id - v_first + 1]::jsonb END
			WHERE x.id BETWEEN v_first AND v_last
			RETURNING x.flow_id,
				CASE WHEN x.lock_id IS NOT NULL
					AND (x.id IN (SELECT unnest(p_bare)))
						IS NOT TRUE THEN x.lock_id END AS lock_id,
				CASE WHEN x.has_dependents AND x.sole IS NULL
					THEN x.id END AS need,
				CASE WHEN x.unique_key IS NOT NULL
					OR x.settled IS NOT NULL THEN 0 ELSE x.sole END
					AS sole
		)
		SELECT count(t.flow_id), array_agg(t.flow_id) FILTER (
				WHERE t.flow_id IS NOT NULL
				AND (t.sole < 0) IS NOT TRUE),
			array_agg(t.lock_id) FILTER (WHERE t.lock_id IS NOT NULL),
			array_agg(t.need) FILTER (WHERE t.need IS NOT NULL),
			array_agg(t.sole) FILTER (WHERE t.sole IS NOT NULL)
		INTO v_inside, v_flows, v_locks, v_needs, v_soles FROM t;
	ELSIF v_last - v_first < 4 * cardinality(p_ids) THEN
		WITH t AS (
			UPDATE muster.task x SET state = 's', finished_at = now(),
				worker_id = p_worker, attempts = x.attempts + 1,
				error = NULL,
				ran_ms = CASE WHEN v_bare THEN NULL ELSE p_ran_ms[
					width_bucket(x.id, (SELECT p_ids || '{}'))]
					END,
				result = CASE WHEN v_bare THEN NULL ELSE p_result[
					width_bucket(x.id, (SELECT p_ids || '{}'))]
					::jsonb END
			WHERE x.id BETWEEN v_first AND v_last
				AND p_ids[width_bucket(x.id,
					(SELECT p_ids || '{}'))] = x.id
			RETURNING x.flow_id,
				CASE WHEN x.lock_id IS NOT NULL
					AND (x.id IN (SELECT unnest(p_bare)))
						IS NOT TRUE THEN x.lock_id END AS lock_id,
				CASE WHEN x.has_dependents AND x.sole IS NULL
					THEN x.id END AS need,
				CASE WHEN x.unique_key IS NOT NULL
					OR x.settled IS NOT NULL THEN 0 ELSE x.sole END
					AS sole
		)
		SELECT count(t.flow_id), array_agg(t.flow_id) FILTER (
				WHERE t.flow_id IS NOT NULL
				AND (t.sole < 0) IS NOT TRUE),
			array_agg(t.lock_id) FILTER (WHERE t.lock_id IS NOT NULL),
			array_agg(t.need) FILTER (WHERE t.need IS NOT NULL),
			array_agg(t.sole) FILTER (WHERE t.sole IS NOT NULL)
		INTO v_inside, v_flows, v_locks, v_needs, v_soles FROM t;
	ELSE
		WITH t AS (
			UPDATE muster.task x SET state = 's', finished_at = now(),
				worker_id = p_worker, attempts = x.attempts + 1,
				error = NULL,
				ran_ms = CASE WHEN v_bare THEN NULL ELSE p_ran_ms[
					width_bucket(x.id, (SELECT p_ids || '{}'))]
					END,
				result = CASE WHEN v_bare THEN NULL ELSE p_result[
					width_bucket(x.id, (SELECT p_ids || '{}'))]
					::jsonb END
			WHERE x.id = ANY (p_ids)
			RETURNING x.flow_id,
				CASE WHEN x.lock_id IS NOT NULL
					AND (x.id IN (SELECT unnest(p_bare)))
						IS NOT TRUE THEN x.lock_id END AS lock_id,
				CASE WHEN x.has_dependents AND x.sole IS NULL
					THEN x.id END AS need,
				CASE WHEN x.unique_key IS NOT NULL
					OR x.settled IS NOT NULL THEN 0 ELSE x.sole END
					AS sole
		)
		SELECT count(t.flow_id), array_agg(t.flow_id) FILTER (
				WHERE t.flow_id IS NOT NULL
				AND (t.sole < 0) IS NOT TRUE),
			array_agg(t.lock_id) FILTER (WHERE t.lock_id IS NOT NULL),
			array_agg(t.need) FILTER (WHERE t.need IS NOT NULL),
			array_agg(t.sole) FILTER (WHERE t.sole IS NOT NULL)
		INTO v_inside, v_flows, v_locks, v_needs, v_soles FROM t;
	END IF;
	IF EXISTS (SELECT FROM muster.cancelling c
			WHERE c.worker_id = p_worker) THEN
		DELETE FROM muster.cancelling c WHERE c.worker_id = p_worker
			AND c.task_id = ANY (p_ids);
	END IF;
	IF 0 = ANY (v_soles) THEN
		PERFORM muster.settle_final(p_ids, p_bare => p_bare);
	ELSIF v_inside > 0 OR v_needs IS NOT NULL THEN
		v_absent := muster.settle_known(v_flows, '{}', v_needs, NULL,
			NULL, v_locks, NULL, CASE
			WHEN v_inside = 0 THEN p_ids
			WHEN v_inside < cardinality(p_ids) THEN
				ARRAY(SELECT t.id FROM muster.task t
					WHERE t.id = ANY (p_ids)
					AND t.flow_id IS NULL) END, v_soles);
		IF v_absent IS NOT NULL THEN
			PERFORM muster.settle_inner(p_ids, v_absent);
		END IF;
	ELSE
		IF v_locks IS NOT NULL THEN
			PERFORM muster.lock_free(v_locks);
		END IF;
		INSERT INTO muster.finished
		VALUES (clock_timestamp(), NULL, p_ids);
	END IF;
END
$$;

-- Shrinks the leases, which are locked, by p_ids; the empty ones go.
CREATE OR REPLACE FUNCTION muster.finish_leases(
	p_have_lease bigint[], p_have_task bigint[], p_ids bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_left bigint[];
BEGIN
	IF cardinality(p_ids) <> cardinality(p_have_task) THEN
		SELECT array_agg(DISTINCT l.lease) INTO v_left
		FROM (SELECT u.task FROM unnest(p_have_task) u(task)
			EXCEPT SELECT unnest(p_ids)) x
		JOIN unnest(p_have_lease, p_have_task) l(lease, task)
			ON l.task = x.task;
		UPDATE muster.lease l SET task_ids = ARRAY(
			SELECT unnest(l.task_ids) EXCEPT SELECT unnest(p_ids)
			ORDER BY 1)
		WHERE l.id = ANY (v_left);
	END IF;
	DELETE FROM muster.lease l WHERE l.id = ANY (p_have_lease)
		AND (v_left IS NULL OR l.id <> ALL (v_left));
END
$$;

-- The tasks p_ids (ascending) ended as p_out says; the other arrays, which may
-- be empty, tell about each. p_bare: those of them that have no slot of their key.
-- Raises MU003 if p_out says what is none of s, f, r, u, b and c.
CREATE OR REPLACE FUNCTION muster.finish_tasks(p_worker bigint,
	p_ids bigint[], p_out "char"[], p_ran_ms int[], p_delay_ms bigint[],
	p_result text[], p_error text[], p_bare bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_ids bigint[] := p_ids;
	v_out "char"[] := p_out;
	v_ran_ms int[] := p_ran_ms;
	v_result text[] := p_result;
	v_error text[] := p_error;
BEGIN
	IF NOT p_out <@ '{s,f,r,u,b,c}' THEN
		RAISE EXCEPTION '%', (SELECT format('task %s has the outcome %L, '
				'which is none of s, f, r, u, b and c', u.id, u.c)
			FROM unnest(p_ids, p_out) u(id, c)
			WHERE (u.c IN ('s', 'f', 'r', 'u', 'b', 'c')) IS NOT TRUE
			LIMIT 1) USING ERRCODE = 'MU003';
	END IF;
	PERFORM FROM muster.task x WHERE x.id = ANY (p_ids)
	ORDER BY x.id FOR NO KEY UPDATE;
	-- After the locks: a cancel that came first is seen.
	IF EXISTS (SELECT FROM muster.cancelling c
			WHERE c.worker_id = p_worker) THEN
		v_out := muster.finish_cancelled(p_worker, p_ids, p_out);
	END IF;
	IF v_out && '{f,r,u,b}' THEN
		PERFORM muster.finish_failures(p_worker, p_ids, v_out, p_ran_ms,
			p_delay_ms, p_error, p_bare);
		SELECT array_agg(u.id), array_agg(u.c), array_agg(u.ran_ms),
			array_agg(u.result), array_agg(u.error)
		INTO v_ids, v_out, v_ran_ms, v_result, v_error
		FROM (SELECT * FROM unnest(p_ids, v_out, p_ran_ms, p_result,
				p_error) x(id, c, ran_ms, result, error)
			WHERE x.c IN ('s', 'f', 'c') ORDER BY x.id) u;
	END IF;
	IF v_ids IS NOT NULL THEN
		UPDATE muster.task t
		SET state = v_out[width_bucket(t.id, v_ids)],
			finished_at = now(), worker_id = p_worker,
			attempts = t.attempts
				+ (v_out[width_bucket(t.id, v_ids)] <> 'c')::int,
			ran_ms = v_ran_ms[width_bucket(t.id, v_ids)],
			result = v_result[width_bucket(t.id, v_ids)]::jsonb,
			error = v_error[width_bucket(t.id, v_ids)]
		WHERE t.id = ANY (v_ids);
		PERFORM muster.settle_final(v_ids, p_bare => p_bare);
	END IF;
END
$$;

-- Of these tasks some are to be cancelled: what would run again does not.
-- A success or a failure came first and stands.
CREATE OR REPLACE FUNCTION muster.finish_cancelled(
	p_worker bigint, p_ids bigint[], p_out "char"[])
RETURNS "char"[] LANGUAGE plpgsql AS $$
DECLARE
	v_gone bigint[];
BEGIN
	WITH gone AS (
		DELETE FROM muster.cancelling c
		WHERE c.worker_id = p_worker AND c.task_id = ANY (p_ids)
		RETURNING c.task_id
	)
	SELECT array_agg(g.task_id) INTO v_gone FROM gone g;
	RETURN ARRAY(SELECT CASE WHEN u.id = ANY (v_gone)
			AND u.c IN ('r', 'u', 'b') THEN 'c' ELSE u.c END
		FROM unnest(p_ids, p_out) u(id, c) ORDER BY u.id);
END
$$;

-- What did not succeed: the history, and the way back of what runs again.
CREATE OR REPLACE FUNCTION muster.finish_failures(p_worker bigint,
	p_ids bigint[], p_out "char"[], p_ran_ms int[], p_delay_ms bigint[],
	p_error text[], p_bare bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_hit bigint[];
	v_again bigint[];
	v_back bigint[];
	v_delay bigint[];
BEGIN
	SELECT array_agg(u.id) FILTER (WHERE u.c IN ('f', 'r', 'u')),
		array_agg(u.id) FILTER (WHERE u.c IN ('r', 'u')),
		array_agg(u.id) FILTER (WHERE u.c = 'b'
			OR u.c IN ('r', 'u') AND u.delay <= 0),
		array_agg(u.delay) FILTER (WHERE u.c IN ('r', 'u'))
	INTO v_hit, v_again, v_back, v_delay
	FROM (SELECT x.id, x.c, greatest(coalesce(x.delay, 0), 0) AS delay
		FROM unnest(p_ids, p_out, p_delay_ms) x(id, c, delay)
		ORDER BY x.id) u;
	IF v_hit IS NOT NULL THEN
		INSERT INTO muster.attempt
		SELECT t.id, now(), p_worker, t.attempts + 1,
			p_ran_ms[width_bucket(t.id, p_ids)],
			p_out[width_bucket(t.id, p_ids)],
			p_error[width_bucket(t.id, p_ids)]
		FROM muster.task t WHERE t.id = ANY (v_hit);
	END IF;
	IF v_again IS NOT NULL THEN
		UPDATE muster.task t SET worker_id = p_worker,
			attempts = t.attempts
				+ (p_out[width_bucket(t.id, p_ids)] = 'r')::int,
			snoozes = t.snoozes
				+ (p_out[width_bucket(t.id, p_ids)] = 'u')::int,
			ran_ms = p_ran_ms[width_bucket(t.id, p_ids)],
			error = p_error[width_bucket(t.id, p_ids)]
		WHERE t.id = ANY (v_again);
		PERFORM muster.put_scheduled(v_again, v_delay, p_bare);
	END IF;
	IF v_back IS NOT NULL THEN
		PERFORM muster.put_back(v_back, p_bare);
	END IF;
END
$$;

-- Tasks (ascending, locked by the caller) that go on at once: those of p_bare, who
-- have no slot of their key, ask for one.
CREATE OR REPLACE FUNCTION muster.put_back(p_ids bigint[], p_bare bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_ready bigint[] := muster.without(p_ids, p_bare);
BEGIN
	PERFORM muster.put_ready(v_ready), muster.lock_look(v_ready);
	IF v_ready <> p_ids THEN
		PERFORM muster.lock_ask(muster.without(p_ids, v_ready));
	END IF;
END
$$;

-- Puts tasks, locked by the caller, at the end of their lines; one with a
-- concurrency key has or keeps its slot.
CREATE OR REPLACE FUNCTION muster.put_ready(p_ids bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_routes int[];
BEGIN
	WITH put AS (
		INSERT INTO muster.ready (seq, task_id, at, route_id, size, rank,
			lane, ticket, lock_id)
		SELECT nextval('muster.ready_seq'), t.id, now(), t.route_id,
			t.size, t.rank, t.lane, t.ticket, t.lock_id
		FROM (SELECT * FROM muster.task x WHERE x.id = ANY (p_ids)
			ORDER BY x.id) t
		RETURNING route_id
	)
	SELECT array_agg(p.route_id) INTO v_routes FROM put p;
	PERFORM muster.announce(v_routes);
END
$$;

-- Puts tasks, locked by the caller, where they wait p_delay[i] ms; what has
-- nothing to wait for is left to put_ready(). They give up the slots that they
-- hold (those of p_bare have none): who is put off holds up nobody.
CREATE OR REPLACE FUNCTION muster.put_scheduled(
	p_ids bigint[], p_delay_ms bigint[], p_bare bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_count int;
	v_locks bigint[];
BEGIN
	WITH put AS (
		INSERT INTO muster.scheduled
			(run_at, task_id, route_id, size, rank, lane, ticket,
			lock_id)
		SELECT clock_timestamp()
				+ p_delay_ms[width_bucket(t.id, p_ids)] * interval '1 ms',
			t.id, t.route_id, t.size, t.rank, t.lane, t.ticket,
			t.lock_id
		FROM muster.task t
		WHERE t.id = ANY (p_ids)
			AND p_delay_ms[width_bucket(t.id, p_ids)] > 0
		RETURNING task_id, lock_id
	)
	SELECT count(*), array_agg(p.lock_id) FILTER (WHERE p.lock_id IS NOT NULL
		AND (p.task_id IN (SELECT unnest(p_bare))) IS NOT TRUE)
	INTO v_count, v_locks FROM put p;
	IF v_count > 0 THEN
		PERFORM muster.announce_work();
	END IF;
	IF v_locks IS NOT NULL THEN
		PERFORM muster.lock_free(v_locks);
	END IF;
END
$$;
