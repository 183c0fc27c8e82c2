-- What a task waits for, down to the root.

-- A row a reason; depth 0 is the task itself, each depth more what the one
-- above waits for. Of several open needs the first five are followed, and at
-- most 200 tasks are listed, each once. One row is the root: what waits for
-- nothing else and will not come to an end by itself, or will as the last. Below
-- a list that was cut the first needs are followed to their end, however deep,
-- and what is found there is a row too.
CREATE OR REPLACE FUNCTION muster.why(id bigint)
RETURNS TABLE (depth int, reason text, task_id bigint, root boolean)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_variable
DECLARE
	v_stack bigint[] := ARRAY[$1];
	v_depths int[] := ARRAY[0];
	v_ids bigint[] := '{}'; -- the rows
	v_at int[];
	v_reasons text[];
	v_causes bigint[];
	v_one record;
	v_least int;
	v_root int; -- which row it is
	v_top int;
	v_cut boolean := false;
BEGIN
	WHILE cardinality(v_stack) > 0 AND NOT v_cut LOOP
		v_top := cardinality(v_stack);
		task_id := v_stack[v_top];
		depth := v_depths[v_top];
		v_stack := v_stack[: v_top - 1];
		v_depths := v_depths[: v_top - 1];
		CONTINUE WHEN task_id = ANY (v_ids);
		v_causes := muster.why_causes(task_id);
		IF cardinality(v_ids) = 200 THEN
			v_cut := true;
			WHILE v_causes <> '{}' LOOP
				task_id := v_causes[1];
				depth := depth + 1;
				v_causes := muster.why_causes(task_id);
			END LOOP;
		END IF;
		v_one := muster.why_one(task_id);
		v_ids := v_ids || task_id;
		v_at := v_at || depth;
		v_reasons := v_reasons || v_one.o_reason;
		IF v_causes = '{}' AND (v_one.o_weight < v_least) IS NOT FALSE THEN
			v_least := v_one.o_weight;
			v_root := cardinality(v_ids);
		END IF;
		FOR i IN REVERSE cardinality(v_causes) .. 1 LOOP
			v_stack := v_stack || v_causes[i];
			v_depths := v_depths || depth + 1;
		END LOOP;
	END LOOP;
	FOR i IN 1 .. cardinality(v_ids) LOOP
		depth := v_at[i];
		reason := v_reasons[i];
		task_id := v_ids[i];
		root := i = v_root;
		RETURN NEXT;
	END LOOP;
END
$$;

-- The tasks that this one waits for, the first five of each subject; never null.
CREATE OR REPLACE FUNCTION muster.why_causes(p_id bigint)
RETURNS bigint[] LANGUAGE plpgsql AS $$
BEGIN
	RETURN muster.why_needs(p_id) || muster.why_lock_holders(p_id);
END
$$;

-- One task's own reason, a sentence without its end: the first that one of the
-- subjects gives. Of each there is a function
-- why_<subject>(muster.task, state text), in why_reasons.sql or beside what it
-- explains; null: it says nothing of this task. What does not end by itself
-- stands before what does: o_weight, the place in the list, tells which of
-- several causes is the root, the least does.
CREATE OR REPLACE FUNCTION muster.why_one(
	p_id bigint, OUT o_reason text, OUT o_weight int)
LANGUAGE plpgsql AS $$
DECLARE
	v_subjects CONSTANT text[] := ARRAY[
		'ended',
		'no_scheduler',
		'paused',
		'no_worker',
		'unknown_kind',
		'time',
		'arriving',
		'skipping',
		'blocked',
		'lock',
		'line',
		'container',
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
	IF EXISTS (SELECT FROM muster.container c WHERE c.task_id = p_id) THEN
		RETURN muster.why_holds(p_id);
	END IF;
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
		OR EXISTS (SELECT FROM muster.set_places(ARRAY[p_id]))
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
