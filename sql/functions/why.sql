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
	v_needs bigint[];
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
		reason := muster.why_one(task_id);
		RETURN NEXT;
		v_needs := muster.why_needs(task_id)
			|| muster.why_lock_holders(task_id);
		FOR i IN REVERSE coalesce(cardinality(v_needs), 0) .. 1 LOOP
			v_stack := v_stack || v_needs[i];
			v_depths := v_depths || depth + 1;
		END LOOP;
	END LOOP;
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

-- One task's own reason, a sentence without its end.
CREATE OR REPLACE FUNCTION muster.why_one(p_id bigint)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_task record;
	v_text text;
BEGIN
	SELECT s.*, t.route_id, t.rank INTO v_task
	FROM muster.task_status s
	JOIN muster.task t ON t.id = s.id WHERE s.id = p_id;
	IF NOT FOUND THEN
		RETURN format('there is no task %s', p_id);
	END IF;
	v_text := CASE v_task.state
		WHEN 'succeeded' THEN 'it has succeeded'
		WHEN 'failed' THEN 'it failed: '
			|| coalesce(v_task.error, 'no error was given')
		WHEN 'cancelled' THEN coalesce(v_task.error, 'it was cancelled')
		WHEN 'skipped' THEN 'it was skipped: ' || v_task.error
		WHEN 'running' THEN muster.why_running(p_id, v_task.worker_id)
		WHEN 'scheduled' THEN format('it waits until %s', v_task.run_at)
			|| coalesce(', after: ' || v_task.error, '')
		WHEN 'waiting' THEN muster.why_lock(p_id)
		WHEN 'arriving' THEN 'it waits for a scheduler to admit it'
		WHEN 'blocked' THEN coalesce((SELECT format('it waits for %s '
				'task%s', b.need, CASE WHEN b.need <> 1 THEN 's' END)
			FROM muster.blocked b WHERE b.task_id = p_id),
			'a need of it was not met: it is about to be skipped')
		ELSE muster.why_ready(v_task.queue, v_task.kind,
			v_task.route_id, v_task.rank, p_id)
		END;
	RETURN coalesce(nullif(v_task.name, '') || ' (' || v_task.kind || '): ',
		v_task.kind || ': ') || v_text;
END
$$;

CREATE OR REPLACE FUNCTION muster.why_running(p_id bigint, p_worker bigint)
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT format('it is run by worker %s (process %s on %s) since '
			'%s%s', w.id, w.pid, w.host, l.taken_at,
			CASE WHEN c.task_id IS NOT NULL
				THEN ', which was told to cancel it' END)
		FROM muster.worker w
		JOIN muster.lease l ON l.worker_id = w.id
			AND p_id = ANY (l.task_ids)
		LEFT JOIN muster.cancelling c ON c.worker_id = w.id
			AND c.task_id = p_id
		WHERE w.id = p_worker LIMIT 1);
END
$$;

CREATE OR REPLACE FUNCTION muster.why_ready(p_queue text, p_kind text,
	p_route int, p_rank smallint, p_id bigint)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_before bigint;
	v_running bigint;
BEGIN
	IF EXISTS (SELECT FROM muster.paused p WHERE p.queue = p_queue) THEN
		RETURN format('its queue %s is paused since %s', p_queue,
			(SELECT p.since FROM muster.paused p
			WHERE p.queue = p_queue));
	ELSIF NOT EXISTS (SELECT FROM muster.worker w WHERE w.dead_at IS NULL)
			THEN
		RETURN 'it is ready, but there is no live worker';
	ELSIF NOT EXISTS (SELECT FROM muster.worker w WHERE w.dead_at IS NULL
			AND p_queue = ANY (w.queues) AND p_kind = ANY (w.kinds)) THEN
		RETURN format('it is ready, but no live worker runs kind %s in '
			'queue %s', p_kind, p_queue);
	END IF;
	SELECT count(*) INTO v_before FROM (
		SELECT FROM muster.ready r WHERE r.route_id = p_route
			AND (r.rank < p_rank OR r.rank = p_rank AND r.seq < (
				SELECT min(x.seq) FROM muster.ready x
				WHERE x.route_id = p_route AND x.task_id = p_id))
		LIMIT 10000) x;
	SELECT count(*) INTO v_running
	FROM (SELECT unnest(l.task_ids) AS id FROM muster.lease l) l
	CROSS JOIN LATERAL (SELECT FROM muster.task t WHERE t.id = l.id
		AND t.route_id = p_route OFFSET 0) t;
	RETURN format('it is ready and waits for a free slot: %s%s before it, '
		'%s running', v_before, CASE WHEN v_before = 10000
		THEN ' or more' END, v_running);
END
$$;
