-- Tasks that are functions in this database: their effect and their finish are
-- one transaction, so it happens exactly once.

-- Calls p_function(payload jsonb, inputs jsonb, task muster.task_context) as
-- p_role for each of p_task (p_lease[i] holds p_task[i]), then finishes them
-- with what it returned. SECURITY INVOKER: within a definer's rights no other
-- role could be taken on. MU002 if a lease is not the worker's any more: with it
-- goes all that the functions did.
-- One task alone: what its function raises comes out as it is; the worker then
-- finishes the task as failed by a turn. Several: what raises is undone, stays
-- in its lease and is named in `failed`: company may have been the reason (a
-- table made twice, a deadlock with a neighbour's locks), so it is for the
-- worker to call it again alone. ran_us: how long a call took, in the mean.
-- Locks: worker for key share and the leases after the calls, so that a long
-- function holds up nobody.
CREATE OR REPLACE FUNCTION muster.sql_tasks(p_worker bigint, p_lease bigint[],
	p_task bigint[], p_function text, p_role text, p_max_result bigint)
RETURNS TABLE (failed bigint[], ran_us bigint) LANGUAGE plpgsql AS $$
DECLARE
	v_name text := muster.function_name(p_function);
	v_calls record;
	v_results text[];
	v_done bigint[] := p_task;
	v_lease bigint[] := p_lease;
	v_began timestamptz;
	v_ms int;
BEGIN
	PERFORM muster.check_isolation();
	PERFORM muster.holds(p_worker, p_lease, p_task);
	v_calls := muster.sql_calls(p_lease, p_task);
	v_began := clock_timestamp();
	IF cardinality(p_task) = 1 THEN
		v_results := muster.call_all(v_name, p_role, v_calls.payloads,
			v_calls.inputs, v_calls.contexts, p_max_result);
	ELSE
		BEGIN
			v_results := muster.call_all(v_name, p_role,
				v_calls.payloads, v_calls.inputs, v_calls.contexts, p_max_result);
		EXCEPTION WHEN OTHERS THEN
			v_results := NULL;
		END;
	END IF;
	IF v_results IS NULL THEN
		SELECT * INTO v_results, failed
		FROM muster.call_each(v_name, p_role, p_task, v_calls.payloads,
			v_calls.inputs, v_calls.contexts, p_max_result);
		SELECT array_agg(u.task ORDER BY u.o), array_agg(u.lease ORDER BY u.o)
		INTO v_done, v_lease
		FROM unnest(p_task, p_lease) WITH ORDINALITY u(task, lease, o)
		WHERE failed IS NULL OR u.task <> ALL (failed);
	END IF;
	ran_us := extract(epoch FROM clock_timestamp() - v_began) * 1000000
		/ cardinality(p_task);
	IF v_done IS NOT NULL THEN
		v_ms := ran_us / 1000;
		PERFORM muster.finish_sql(p_worker, v_lease, v_done,
			CASE WHEN v_results = array_fill(NULL::text,
				ARRAY[cardinality(v_done)]) THEN '{}'
				ELSE v_results END,
			CASE WHEN v_ms = 0 THEN '{}'
				ELSE array_fill(v_ms, ARRAY[cardinality(v_done)]) END);
	END IF;
	RETURN NEXT;
END
$$;

-- The results of these calls; what one raises undoes them all.
CREATE OR REPLACE FUNCTION muster.call_all(p_name text, p_role text,
	p_payloads jsonb[], p_inputs jsonb[],
	p_contexts muster.task_context[], p_max_result bigint)
RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
	v_me text := current_setting('role');
	v_results text[];
	v_size bigint;
BEGIN
	PERFORM set_config('role', coalesce(p_role, v_me), true);
	EXECUTE format('SELECT array_agg(r.result), max(octet_length(r.result))'
		' FROM (SELECT %s($1[s.i], $2[s.i], $3[s.i])::text AS result'
		' FROM generate_subscripts($1, 1) s(i) OFFSET 0) r', p_name)
	INTO v_results, v_size USING p_payloads, p_inputs, p_contexts;
	PERFORM set_config('role', v_me, true);
	IF v_size > p_max_result THEN
		RAISE EXCEPTION 'the result has % bytes, more than max_result (%)',
			v_size, p_max_result USING ERRCODE = 'MU005';
	END IF;
	RETURN v_results;
END
$$;

-- The same, where one of them raises: only what that one did is undone.
CREATE OR REPLACE FUNCTION muster.call_each(p_name text, p_role text,
	p_task bigint[], p_payloads jsonb[], p_inputs jsonb[],
	p_contexts muster.task_context[], p_max_result bigint,
	OUT results text[], OUT failed bigint[])
LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. cardinality(p_task) LOOP
		BEGIN
			results := results || muster.call_all(p_name, p_role,
				p_payloads[i:i],
				p_inputs[i:i], p_contexts[i:i], p_max_result);
		EXCEPTION WHEN OTHERS THEN
			failed := failed || p_task[i];
		END;
	END LOOP;
END
$$;

-- What these calls get, in the order of p_task.
CREATE OR REPLACE FUNCTION muster.sql_calls(p_lease bigint[], p_task bigint[],
	OUT payloads jsonb[], OUT inputs jsonb[],
	OUT contexts muster.task_context[])
LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
	v_route int;
	v_kind text;
	v_queue text;
BEGIN
	-- Nearly always all are of one route, which is looked up once.
	SELECT x.route_id INTO v_route FROM muster.task x WHERE x.id = p_task[1];
	SELECT r.kind, r.queue INTO v_kind, v_queue FROM muster.route r
	WHERE r.id = v_route LIMIT 1;
	SELECT array_agg(t.payload::jsonb),
		array_agg(CASE WHEN t.has_needs THEN muster.inputs(t.id)::jsonb
			ELSE '{}' END),
		array_agg(ROW(t.id, t.flow_id,
			CASE WHEN t.route_id = v_route THEN v_kind
				ELSE (SELECT r.kind FROM muster.route r
					WHERE r.id = t.route_id LIMIT 1) END,
			CASE WHEN t.route_id = v_route THEN v_queue
				ELSE (SELECT r.queue FROM muster.route r
					WHERE r.id = t.route_id LIMIT 1) END,
			t.name, t.attempts + 1, p_lease[t.o] || '-' || t.id
			)::muster.task_context)
	INTO payloads, inputs, contexts
	FROM (SELECT x.id, x.flow_id, x.route_id, x.name, x.attempts, x.payload,
			x.has_needs, array_position(p_task, x.id) AS o
		FROM muster.task x WHERE x.id = ANY (p_task) ORDER BY 8) t;
END
$$;

-- The name of a function as it may be put into a statement: "app.rollup".
CREATE OR REPLACE FUNCTION muster.function_name(p_name text)
RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	RETURN (SELECT string_agg(quote_ident(u.part), '.' ORDER BY u.o)
		FROM unnest(parse_ident(p_name)) WITH ORDINALITY u(part, o));
END
$$;

-- MU002 unless all these tasks stand in these leases of this live worker.
CREATE OR REPLACE FUNCTION muster.holds(
	p_worker bigint, p_lease bigint[], p_task bigint[])
RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
	v_held bigint[];
BEGIN
	v_held := ARRAY(SELECT unnest(l.task_ids) FROM muster.lease l
		WHERE l.id = ANY (p_lease) AND l.worker_id = p_worker);
	IF NOT p_task <@ v_held OR NOT EXISTS (SELECT FROM muster.worker w
			WHERE w.id = p_worker AND w.dead_at IS NULL) THEN
		RAISE EXCEPTION 'task % is fenced', array_to_string(p_task, ', ')
			USING ERRCODE = 'MU002';
	END IF;
END
$$;

-- The finish of sql tasks; MU002 if one is fenced.
CREATE OR REPLACE FUNCTION muster.finish_sql(p_worker bigint, p_lease bigint[],
	p_task bigint[], p_result text[], p_ran_ms int[])
RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
	v_fenced bigint[];
BEGIN
	PERFORM FROM muster.worker w
	WHERE w.id = p_worker AND w.dead_at IS NULL FOR KEY SHARE;
	IF FOUND THEN
		v_fenced := (muster.finish(p_worker, p_lease, p_task,
			repeat('s', cardinality(p_task)), p_ran_ms, '{}',
			p_result, '{}')).fenced_task;
	END IF;
	IF NOT FOUND OR v_fenced IS NOT NULL THEN
		RAISE EXCEPTION 'task % is fenced',
			array_to_string(coalesce(v_fenced, p_task), ', ')
			USING ERRCODE = 'MU002';
	END IF;
END
$$;
