-- What a worker asks about single tasks.

-- The payload as it was stored: for those too large for a turn's rows.
CREATE OR REPLACE FUNCTION muster.payload(p_task bigint)
RETURNS text LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
BEGIN
	RETURN (SELECT t.payload FROM muster.task t WHERE t.id = p_task);
END
$$;

-- The outcomes of what the task depends on: {"<step name or id>": {"task": "41",
-- "state": "succeeded", "result": …, "error": …}}; '{}' without needs. Ids are
-- strings: JSON's numbers end at 2^53 in many languages.
CREATE OR REPLACE FUNCTION muster.inputs(p_task bigint)
RETURNS text LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
BEGIN
	RETURN coalesce((SELECT jsonb_object_agg(
		CASE WHEN t.flow_id = me.flow_id THEN coalesce(t.name, n.id::text)
			ELSE n.id::text END,
		jsonb_strip_nulls(jsonb_build_object('task', n.id::text,
			'state', muster.state_name(t.state), 'error', t.error))
		|| jsonb_build_object('result', t.result))
	FROM muster.task me, muster.needs x
	CROSS JOIN LATERAL unnest(x.ids) n(id)
	LEFT JOIN LATERAL (SELECT y.flow_id, y.name, y.state, y.result, y.error
		FROM muster.task y WHERE y.id = n.id OFFSET 0) t ON true
	WHERE me.id = p_task AND x.task_id = p_task), '{}')::text;
END
$$;

-- The inputs of these tasks in their order, as many as come to p_max_bytes: the
-- one that reaches it is the last, and the first comes in any case.
CREATE OR REPLACE FUNCTION muster.inputs_of(p_task bigint[],
	p_max_bytes bigint)
RETURNS TABLE (task bigint, inputs text) LANGUAGE plpgsql STABLE AS $$
DECLARE
	v_bytes bigint := 0;
BEGIN
	FOREACH task IN ARRAY p_task LOOP
		inputs := muster.inputs(task);
		RETURN NEXT;
		v_bytes := v_bytes + octet_length(inputs);
		EXIT WHEN v_bytes >= p_max_bytes;
	END LOOP;
END
$$;

-- A final state in words; null for an open task.
CREATE OR REPLACE FUNCTION muster.state_name(p_state "char")
RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE p_state WHEN 's' THEN 'succeeded' WHEN 'f' THEN 'failed'
		WHEN 'c' THEN 'cancelled' WHEN 'k' THEN 'skipped' END
$$;

-- Where these tasks stand, for a worker whose finishes went unanswered.
CREATE OR REPLACE FUNCTION muster.task_states(p_tasks bigint[])
RETURNS TABLE (task bigint, state text) LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY SELECT s.id, s.state FROM muster.task_status s
	WHERE s.id = ANY (p_tasks);
END
$$;
