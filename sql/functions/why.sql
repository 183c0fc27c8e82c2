-- What a task waits for, down to the root.

-- A row a reason; depth 0 is the task itself, each depth more what the one
-- above waits for. Of several open needs the first five are followed, and at
-- most 200 rows are given, each task once.
CREATE OR REPLACE FUNCTION muster.why(id bigint)
RETURNS TABLE (depth int, reason text, task_id bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_variable
DECLARE
	v_stack bigint[] := ARRAY[$1];
	v_depths int[] := ARRAY[0];
	v_seen bigint[] := '{}';
	v_causes bigint[];
	v_top int;
BEGIN
	WHILE cardinality(v_stack) > 0 AND cardinality(v_seen) < 200 LOOP
		v_top := cardinality(v_stack);
		task_id := v_stack[v_top];
		depth := v_depths[v_top];
		v_stack := v_stack[: v_top - 1];
		v_depths := v_depths[: v_top - 1];
		CONTINUE WHEN task_id = ANY (v_seen);
		v_seen := v_seen || task_id;
		reason := (muster.why_one(task_id)).o_reason;
		RETURN NEXT;
		v_causes := muster.why_causes(task_id);
		FOR i IN REVERSE coalesce(cardinality(v_causes), 0) .. 1 LOOP
			v_stack := v_stack || v_causes[i];
			v_depths := v_depths || depth + 1;
		END LOOP;
	END LOOP;
END
$$;

-- The tasks that this one waits for, the first five of each subject.
CREATE OR REPLACE FUNCTION muster.why_causes(p_id bigint)
RETURNS bigint[] LANGUAGE plpgsql AS $$
BEGIN
	RETURN muster.why_needs(p_id);
END
$$;

-- One task's own reason, a sentence without its end: the first that one of the
-- subjects gives. Of each there is a function
-- why_<subject>(muster.task, state text), in why_reasons.sql or beside what it
-- explains; null: it says nothing of this task. What does not end by itself
-- stands before what does: o_weight, the place in the list, tells which of
-- several causes is the root.
CREATE OR REPLACE FUNCTION muster.why_one(
	p_id bigint, OUT o_reason text, OUT o_weight int)
LANGUAGE plpgsql AS $$
DECLARE
	v_subjects CONSTANT text[] := ARRAY[
		'ended',
		'paused',
		'no_worker',
		'unknown_kind',
		'time',
		'arriving',
		'skipping',
		'blocked',
		'line',
		'running'
	];
	v_task muster.task;
	v_state text;
BEGIN
	SELECT * INTO v_task FROM muster.task t WHERE t.id = p_id;
	IF NOT FOUND THEN
		o_reason := format('there is no task %s', p_id);
		o_weight := 0;
		RETURN;
	END IF;
	v_task.payload := NULL; -- large ones would be copied to each function
	v_task.result := NULL;
	SELECT s.state INTO v_state FROM muster.task_status s WHERE s.id = p_id;
	FOR i IN 1 .. cardinality(v_subjects) LOOP
		EXECUTE format('SELECT muster.why_%s($1, $2)', v_subjects[i])
		INTO o_reason USING v_task, v_state;
		o_weight := i;
		EXIT WHEN o_reason IS NOT NULL;
	END LOOP;
	o_reason := coalesce(nullif(v_task.name, '') || ' ('
		|| muster.why_kind(v_task) || ')', muster.why_kind(v_task))
		|| ': ' || coalesce(o_reason, 'it is just on its way to another '
		'place');
END
$$;

-- What the task waits for or, if it was skipped, what it would have needed.
CREATE OR REPLACE FUNCTION muster.why_needs(p_id bigint)
RETURNS bigint[] LANGUAGE plpgsql AS $$
BEGIN
	RETURN ARRAY(SELECT u.need
		FROM muster.task me
		CROSS JOIN LATERAL (SELECT x.ids, x.conds FROM muster.needs x
			WHERE x.task_id = me.id OFFSET 0) n
		CROSS JOIN LATERAL unnest(n.ids, string_to_array(n.conds, NULL))
			WITH ORDINALITY u(need, cond, o)
		CROSS JOIN LATERAL (SELECT x.state FROM muster.task x
			WHERE x.id = u.need OFFSET 0) t
		WHERE me.id = p_id AND CASE
			WHEN me.state IS NULL THEN t.state IS NULL
				AND muster.why_waits(p_id)
			WHEN me.state = 'k' THEN t.state IS NULL
				OR NOT muster.edge_met(u.cond::"char", t.state)
			END
		ORDER BY u.o LIMIT 5);
END
$$;

-- Whether the open task still waits for needs.
CREATE OR REPLACE FUNCTION muster.why_waits(p_id bigint)
RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
	RETURN EXISTS (SELECT FROM muster.blocked b WHERE b.task_id = p_id)
		OR EXISTS (SELECT FROM muster.arriving a WHERE a.task_id = p_id);
END
$$;

CREATE OR REPLACE FUNCTION muster.why_kind(p_task muster.task)
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT r.kind FROM muster.route r
		WHERE r.id = p_task.route_id LIMIT 1);
END
$$;

CREATE OR REPLACE FUNCTION muster.why_queue(p_task muster.task)
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT r.queue FROM muster.route r
		WHERE r.id = p_task.route_id LIMIT 1);
END
$$;
