-- Finishing what a worker ran: the first half of a turn.

-- Takes what is in the worker's leases, gives back the rest as fenced.
-- Locks: lease, then task, each in order; then as settle(). Called by turn
-- and sql_tasks, which hold the worker's row.
CREATE OR REPLACE FUNCTION muster.finish(p_worker bigint, p_lease bigint[],
	p_task bigint[], p_outcome text, p_ran_ms int[], p_delay_ms bigint[],
	p_result text[], p_error text[],
	OUT fenced_lease bigint[], OUT fenced_task bigint[])
LANGUAGE plpgsql AS $$
DECLARE
	v_have_lease bigint[];
	v_have_task bigint[];
	v_ids bigint[];
	v_at int[]; -- where the input has what belongs to v_ids[i]
	v_out text; -- the outcome of v_ids[i]
BEGIN
	SELECT array_agg(l.id), array_agg(t.task)
	INTO v_have_lease, v_have_task
	FROM (SELECT x.id, x.task_ids FROM muster.lease x
		WHERE x.id = ANY (p_lease) AND x.worker_id = p_worker
		ORDER BY x.id FOR UPDATE) l
	CROSS JOIN LATERAL unnest(l.task_ids) t(task);
	IF v_have_task = p_task AND v_have_lease = p_lease THEN
		IF p_outcome !~ '[^s]' AND p_ran_ms = '{}' AND p_result = '{}' THEN
			PERFORM muster.finish_plain(p_worker, p_task);
			DELETE FROM muster.lease l WHERE l.id = ANY (p_lease);
			RETURN;
		ELSIF p_outcome !~ '[^s]'
				AND p_task = ARRAY(SELECT unnest(p_task) ORDER BY 1) THEN
			PERFORM muster.finish_told(p_worker, p_task, p_ran_ms,
				p_result);
			DELETE FROM muster.lease l WHERE l.id = ANY (p_lease);
			RETURN;
		END IF;
	ELSE
		SELECT array_agg(f.lease), array_agg(f.task)
		INTO fenced_lease, fenced_task
		FROM (SELECT * FROM unnest(p_lease, p_task) u(lease, task)
			EXCEPT
			SELECT * FROM unnest(v_have_lease, v_have_task)) f;
	END IF;
	SELECT array_agg(u.task ORDER BY u.task),
		array_agg(u.o ORDER BY u.task),
		string_agg(substr(p_outcome, u.o::int, 1), '' ORDER BY u.task)
	INTO v_ids, v_at, v_out
	FROM unnest(p_task) WITH ORDINALITY u(task, o)
	WHERE fenced_task IS NULL OR u.task <> ALL (fenced_task);
	IF v_ids IS NULL THEN
		RETURN;
	END IF;
	PERFORM muster.finish_tasks(p_worker, v_ids, v_at, v_out,
		p_ran_ms, p_delay_ms, p_result, p_error);
	PERFORM muster.finish_leases(v_have_lease, v_have_task, v_ids);
END
$$;

-- The shortest way, for whole leases of successes without a result. The index
-- is scanned in order of the ids, so the update is the lock in order.
CREATE OR REPLACE FUNCTION muster.finish_plain(p_worker bigint, p_ids bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_more boolean;
BEGIN
	WITH t AS (
		UPDATE muster.task x SET state = 's', finished_at = now(),
			worker_id = p_worker, attempts = x.attempts + 1,
			ran_ms = NULL, error = NULL
		WHERE x.id = ANY (p_ids)
		RETURNING x.flow_id IS NOT NULL OR x.has_dependents AS more
	)
	SELECT bool_or(t.more) INTO v_more FROM t;
	PERFORM muster.finish_rest(p_worker, p_ids, v_more);
END
$$;

-- The same for successes that tell how long they ran, or a result: p_ids
-- ascends, and what they tell stands at the same place. Arrays are read as a
-- whole by each search, so there is one for a task.
CREATE OR REPLACE FUNCTION muster.finish_told(p_worker bigint, p_ids bigint[],
	p_ran_ms int[], p_result text[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_more boolean;
BEGIN
	WITH t AS (
		UPDATE muster.task x SET state = 's', finished_at = now(),
			worker_id = p_worker, attempts = x.attempts + 1,
			error = NULL, (ran_ms, result) = (
				SELECT p_ran_ms[a.p], p_result[a.p]::jsonb
				FROM (SELECT width_bucket(x.id, p_ids) AS p
					OFFSET 0) a)
		WHERE x.id = ANY (p_ids)
		RETURNING x.flow_id IS NOT NULL OR x.has_dependents AS more
	)
	SELECT bool_or(t.more) INTO v_more FROM t;
	PERFORM muster.finish_rest(p_worker, p_ids, v_more);
END
$$;

-- What follows successes: p_more if some are in a flow or have dependents.
CREATE OR REPLACE FUNCTION muster.finish_rest(
	p_worker bigint, p_ids bigint[], p_more boolean)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF EXISTS (SELECT FROM muster.cancelling c
			WHERE c.worker_id = p_worker) THEN
		DELETE FROM muster.cancelling c WHERE c.worker_id = p_worker
			AND c.task_id = ANY (p_ids);
	END IF;
	IF p_more THEN
		PERFORM muster.settle_final(ARRAY(
			SELECT u FROM unnest(p_ids) u ORDER BY u));
	ELSE
		INSERT INTO muster.finished VALUES (now(), NULL, p_ids);
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

-- The tasks p_ids (ascending) ended as p_out says; p_at[i] is where the other
-- arrays, which may be empty, tell about p_ids[i].
CREATE OR REPLACE FUNCTION muster.finish_tasks(p_worker bigint,
	p_ids bigint[], p_at int[], p_out text, p_ran_ms int[],
	p_delay_ms bigint[], p_result text[], p_error text[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_flow bigint[];
	v_in_flow boolean;
	v_needs bigint[];
	v_again bigint[];
	v_final bigint[];
	v_out text := p_out;
	v_cancelled bigint[];
BEGIN
	SELECT array_agg(t.flow_id), bool_or(t.flow_id IS NOT NULL),
		array_agg(t.id) FILTER (
			WHERE t.has_dependents AND t.settled IS NULL),
		array_agg(t.id) FILTER (
			WHERE t.has_dependents AND t.settled IS NOT NULL)
	INTO v_flow, v_in_flow, v_needs, v_again
	FROM (SELECT x.id, x.flow_id, x.has_dependents, x.settled
		FROM muster.task x WHERE x.id = ANY (p_ids)
		ORDER BY x.id FOR NO KEY UPDATE) t;
	-- After the locks: a cancel that came first is seen.
	SELECT array_agg(c.task_id) INTO v_cancelled FROM muster.cancelling c
	WHERE c.worker_id = p_worker;
	IF v_cancelled && p_ids THEN
		v_out := muster.finish_cancelled(p_worker, p_ids, p_out);
	END IF;
	IF v_out ~ '[^s]' THEN
		PERFORM muster.finish_failures(p_worker, p_ids, p_at, v_out,
			p_ran_ms, p_delay_ms, p_error);
		SELECT array_agg(u.id ORDER BY u.id),
			array_agg(u.flow_id ORDER BY u.id),
			string_agg(u.c, '' ORDER BY u.id)
		INTO v_final, v_flow, v_out
		FROM unnest(p_ids, v_flow, string_to_array(v_out, NULL))
			u(id, flow_id, c)
		WHERE u.c IN ('s', 'f', 'c');
		IF v_final IS NULL THEN
			RETURN;
		END IF;
		SELECT array_agg(u) INTO v_needs FROM unnest(v_needs) u
		WHERE u = ANY (v_final);
		SELECT array_agg(u) INTO v_again FROM unnest(v_again) u
		WHERE u = ANY (v_final);
	ELSE
		v_final := p_ids;
	END IF;
	PERFORM muster.finish_final(p_worker, v_final, v_out, p_ids, p_at,
		p_ran_ms, p_result, p_error);
	IF v_in_flow OR v_needs IS NOT NULL OR v_again IS NOT NULL THEN
		PERFORM muster.settle(v_final,
			CASE WHEN v_in_flow THEN v_flow END, v_out, v_needs,
			v_again);
	END IF;
	IF v_in_flow THEN
		SELECT array_agg(u.id) INTO v_final
		FROM unnest(v_final, v_flow) u(id, flow_id)
		WHERE u.flow_id IS NULL;
	END IF;
	IF v_final IS NOT NULL THEN
		INSERT INTO muster.finished VALUES (now(), NULL, v_final);
	END IF;
END
$$;

-- Of these tasks some are to be cancelled: what would run again does not.
-- A success or a failure came first and stands.
CREATE OR REPLACE FUNCTION muster.finish_cancelled(
	p_worker bigint, p_ids bigint[], p_out text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_gone bigint[];
BEGIN
	WITH gone AS (
		DELETE FROM muster.cancelling c
		WHERE c.worker_id = p_worker AND c.task_id = ANY (p_ids)
		RETURNING c.task_id
	)
	SELECT array_agg(g.task_id) INTO v_gone FROM gone g;
	RETURN (SELECT string_agg(CASE WHEN u.id = ANY (v_gone)
			AND u.c IN ('r', 'u', 'b') THEN 'c' ELSE u.c END,
			'' ORDER BY u.id)
		FROM unnest(p_ids, string_to_array(p_out, NULL)) u(id, c));
END
$$;

-- The final states of p_final; what else is told stands in the arrays at
-- p_at[the place in p_ids].
CREATE OR REPLACE FUNCTION muster.finish_final(p_worker bigint,
	p_final bigint[], p_out text, p_ids bigint[], p_at int[],
	p_ran_ms int[], p_result text[], p_error text[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE muster.task t
	SET state = substr(p_out, width_bucket(t.id, p_final), 1)::"char",
		finished_at = now(), worker_id = p_worker,
		attempts = t.attempts + (substr(p_out,
			width_bucket(t.id, p_final), 1) <> 'c')::int,
		ran_ms = p_ran_ms[p_at[width_bucket(t.id, p_ids)]],
		result = p_result[p_at[width_bucket(t.id, p_ids)]]::jsonb,
		error = p_error[p_at[width_bucket(t.id, p_ids)]]
	WHERE t.id = ANY (p_final);
END
$$;

-- What did not succeed: the history, and the way back of what runs again.
CREATE OR REPLACE FUNCTION muster.finish_failures(p_worker bigint,
	p_ids bigint[], p_at int[], p_out text, p_ran_ms int[],
	p_delay_ms bigint[], p_error text[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_hit bigint[];
	v_again bigint[];
	v_back bigint[];
	v_delay bigint[];
BEGIN
	SELECT array_agg(u.id ORDER BY u.id) FILTER (WHERE u.c IN ('f','r','u')),
		array_agg(u.id ORDER BY u.id) FILTER (WHERE u.c IN ('r','u')),
		array_agg(u.id ORDER BY u.id) FILTER (WHERE u.c = 'b'
			OR u.c IN ('r', 'u') AND coalesce(p_delay_ms[u.at], 0) <= 0),
		array_agg(greatest(coalesce(p_delay_ms[u.at], 0), 0)
			ORDER BY u.id) FILTER (WHERE u.c IN ('r','u'))
	INTO v_hit, v_again, v_back, v_delay
	FROM unnest(p_ids, p_at, string_to_array(p_out, NULL)) u(id, at, c);
	IF v_hit IS NOT NULL THEN
		INSERT INTO muster.attempt
		SELECT t.id, now(), p_worker, t.attempts + 1,
			p_ran_ms[p_at[width_bucket(t.id, p_ids)]],
			substr(p_out, width_bucket(t.id, p_ids), 1)::"char",
			p_error[p_at[width_bucket(t.id, p_ids)]]
		FROM muster.task t WHERE t.id = ANY (v_hit);
	END IF;
	IF v_again IS NOT NULL THEN
		UPDATE muster.task t SET worker_id = p_worker,
			attempts = t.attempts + (substr(p_out,
				width_bucket(t.id, p_ids), 1) = 'r')::int,
			snoozes = t.snoozes + (substr(p_out,
				width_bucket(t.id, p_ids), 1) = 'u')::int,
			ran_ms = p_ran_ms[p_at[width_bucket(t.id, p_ids)]],
			error = p_error[p_at[width_bucket(t.id, p_ids)]]
		WHERE t.id = ANY (v_again);
		PERFORM muster.put_scheduled(v_again, v_delay);
	END IF;
	IF v_back IS NOT NULL THEN
		PERFORM muster.put_ready(v_back);
	END IF;
END
$$;

-- Puts tasks, locked by the caller, at the end of their lines.
CREATE OR REPLACE FUNCTION muster.put_ready(p_ids bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_routes int[];
BEGIN
	WITH put AS (
		INSERT INTO muster.ready (seq, task_id, at, route_id, size, rank,
			lane, ticket)
		SELECT nextval('muster.ready_seq'), t.id, now(), t.route_id,
			t.size, t.rank, t.lane, t.ticket
		FROM (SELECT * FROM muster.task x WHERE x.id = ANY (p_ids)
			ORDER BY x.id) t
		RETURNING route_id
	)
	SELECT array_agg(p.route_id) INTO v_routes FROM put p;
	PERFORM muster.announce(v_routes);
END
$$;

-- Puts tasks, locked by the caller, where they wait p_delay[i] ms; what has
-- nothing to wait for is left to put_ready().
CREATE OR REPLACE FUNCTION muster.put_scheduled(
	p_ids bigint[], p_delay_ms bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO muster.scheduled
		(run_at, task_id, route_id, size, rank, lane, ticket)
	SELECT clock_timestamp()
			+ p_delay_ms[width_bucket(t.id, p_ids)] * interval '1 ms',
		t.id, t.route_id, t.size, t.rank, t.lane, t.ticket
	FROM muster.task t
	WHERE t.id = ANY (p_ids) AND p_delay_ms[width_bucket(t.id, p_ids)] > 0;
	IF FOUND THEN
		PERFORM muster.announce_work();
	END IF;
END
$$;
