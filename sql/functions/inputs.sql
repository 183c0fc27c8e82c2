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
-- "state": "succeeded", "result": …, "error": …}}; '{}' without needs. The state
-- of a need that has not ended is open, of one that is no more, deleted. Ids are
-- strings: JSON's numbers end at 2^53 in many languages.
-- At most about a megabyte, half of it results: an error is cut after 1,000
-- characters, a result that does not fit any more is left out ("result": null,
-- "truncated": true), and so are whole needs, which "" then tells, a name that no
-- step has: {"": {"truncated": true, "needs": 100000, "left_out": 94000}}. What
-- did not succeed comes first.
CREATE OR REPLACE FUNCTION muster.inputs(p_task bigint)
RETURNS text LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
	v_room int := 524288; -- bytes: for all but the results
	v_more int := 524288; -- for the results
	v_need record;
	v_head text;
	v_items text[];
	v_count int := 0;
BEGIN
	FOR v_need IN
		SELECT CASE WHEN t.flow_id = me.flow_id
				THEN coalesce(t.name, n.id::text)
				ELSE n.id::text END AS name,
			n.id, t.error, t.result, CASE WHEN t.present IS NULL
				THEN 'deleted' ELSE coalesce(
				muster.state_name(t.state), 'open') END AS state
		FROM muster.task me, muster.needs x
		CROSS JOIN LATERAL unnest(x.ids) n(id)
		LEFT JOIN LATERAL (SELECT true AS present, y.flow_id, y.name,
				y.state, y.result, y.error
			FROM muster.task y WHERE y.id = n.id OFFSET 0) t ON true
		WHERE me.id = p_task AND x.task_id = p_task
		ORDER BY (t.state = 's') IS TRUE, n.id
	LOOP
		v_count := v_count + 1;
		CONTINUE WHEN v_room < 0;
		v_head := format('%s: {"task": "%s", "state": "%s"%s, "result": ',
			to_json(v_need.name), v_need.id, v_need.state,
			', "error": ' || to_json(CASE
				WHEN length(v_need.error) > 1000
				THEN left(v_need.error, 1000) || '…'
				ELSE v_need.error END));
		v_room := v_room - octet_length(v_head) - 30;
		CONTINUE WHEN v_room < 0;
		v_more := v_more - coalesce(octet_length(v_need.result::text), 0);
		v_items := v_items || (v_head || CASE
			WHEN v_more < 0 AND v_need.result IS NOT NULL
			THEN 'null, "truncated": true}'
			ELSE coalesce(v_need.result::text, 'null') || '}' END);
		IF v_more < 0 THEN -- a smaller one may still fit
			v_more := v_more + octet_length(v_need.result::text);
		END IF;
	END LOOP;
	IF v_room < 0 THEN
		v_items := v_items || format('"": {"truncated": true, "needs": %s, '
			'"left_out": %s}', v_count, v_count - cardinality(v_items));
	END IF;
	RETURN '{' || coalesce(array_to_string(v_items, ', '), '') || '}';
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
