-- What a task that waits for its concurrency key is to be told.

-- Who has a slot of the key, not those that follow in a chain: those that run come
-- first.
CREATE OR REPLACE FUNCTION muster.why_lock_slots(p_lock bigint)
RETURNS TABLE (task_id bigint, worker_id bigint, since timestamptz)
LANGUAGE plpgsql STABLE AS $$
BEGIN
	RETURN QUERY
	SELECT t.id, l.worker_id, l.taken_at
	FROM (SELECT x.worker_id, x.taken_at, u.id
		FROM muster.lease x CROSS JOIN LATERAL unnest(x.task_ids) u(id)
		WHERE (u.id = ANY (x.followers)) IS NOT TRUE) l
	CROSS JOIN LATERAL (SELECT x.id FROM muster.task x
		WHERE x.id = l.id AND x.lock_id = p_lock OFFSET 0) t;
	RETURN QUERY
	SELECT r.task_id, NULL::bigint, r.at FROM muster.ready r
	CROSS JOIN LATERAL (SELECT FROM muster.task t WHERE t.id = r.task_id
		AND t.ticket = r.ticket AND t.state IS NULL OFFSET 0) t
	WHERE r.lock_id = p_lock LIMIT 10;
END
$$;

-- Those of them that do not run: what keeps them keeps this task too.
CREATE OR REPLACE FUNCTION muster.why_lock_holders(p_id bigint)
RETURNS bigint[] LANGUAGE plpgsql STABLE AS $$
BEGIN
	RETURN ARRAY(SELECT s.task_id
		FROM (SELECT x.lock_id FROM muster.waiting x
			WHERE x.task_id = p_id) w
		CROSS JOIN LATERAL muster.why_lock_slots(w.lock_id) s
		WHERE s.worker_id IS NULL LIMIT 5);
END
$$;

CREATE OR REPLACE FUNCTION muster.why_lock(
	p_task muster.task, p_state text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_me muster.waiting;
	v_slots text;
	v_before bigint;
BEGIN
	IF p_state <> 'waiting' THEN
		RETURN NULL;
	END IF;
	SELECT * INTO v_me FROM muster.waiting w
	WHERE w.task_id = p_task.id LIMIT 1;
	SELECT string_agg(CASE WHEN s.n = 6 THEN 'others'
			WHEN s.n < 6 THEN format('task %s ', s.task_id)
			|| CASE WHEN s.worker_id IS NULL
				THEN 'which is ready since ' || s.since
				ELSE format('on host %s since %s', coalesce((
					SELECT w.host FROM muster.worker w
					WHERE w.id = s.worker_id), '?'), s.since) END
			END, ', ' ORDER BY s.n)
	INTO v_slots
	FROM (SELECT x.*, row_number() OVER () AS n
		FROM muster.why_lock_slots(v_me.lock_id) x) s;
	SELECT count(*) INTO v_before FROM (SELECT FROM muster.waiting w
		WHERE w.lock_id = v_me.lock_id
			AND (w.line, w.seq) < (v_me.line, v_me.seq) LIMIT 10000) x;
	RETURN format('it waits for its key %s, which is held by %s; %s%s before '
		'it', to_json(p_task.lock_key),
		coalesce(v_slots, 'nobody: a scheduler will see to it'), v_before,
		CASE WHEN v_before = 10000 THEN ' or more' ELSE '' END);
END
$$;
