-- The reasons that why_one() asks for, a function a subject: a clause of a
-- sentence, or null where the subject has no part in it. p_state is that of
-- task_status.

CREATE OR REPLACE FUNCTION muster.why_ended(
	p_task muster.task, p_state text)
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN CASE p_state
		WHEN 'succeeded' THEN 'it has succeeded'
		WHEN 'failed' THEN 'it failed: '
			|| coalesce(p_task.error, 'no error was given')
		WHEN 'cancelled' THEN coalesce(p_task.error, 'it was cancelled')
		WHEN 'skipped' THEN 'it was skipped: ' || p_task.error
		END;
END
$$;

CREATE OR REPLACE FUNCTION muster.why_paused(
	p_task muster.task, p_state text)
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	IF p_state <> 'ready' THEN
		RETURN NULL;
	END IF;
	RETURN (SELECT format('its queue %s is paused since %s', p.queue,
			p.since)
		FROM muster.paused p WHERE p.queue = muster.why_queue(p_task));
END
$$;

CREATE OR REPLACE FUNCTION muster.why_no_worker(
	p_task muster.task, p_state text)
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN CASE WHEN p_state = 'ready' AND NOT EXISTS (
			SELECT FROM muster.worker w WHERE w.dead_at IS NULL)
		THEN 'it is ready, but there is no live worker' END;
END
$$;

CREATE OR REPLACE FUNCTION muster.why_unknown_kind(
	p_task muster.task, p_state text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_queue CONSTANT text := muster.why_queue(p_task);
	v_kind CONSTANT text := muster.why_kind(p_task);
BEGIN
	IF p_state <> 'ready' OR EXISTS (SELECT FROM muster.worker w
			WHERE w.dead_at IS NULL AND v_queue = ANY (w.queues)
			AND v_kind = ANY (w.kinds)) THEN
		RETURN NULL;
	END IF;
	RETURN format('it is ready, but no live worker runs kind %s in '
		'queue %s', v_kind, v_queue);
END
$$;

-- A delayed start, or the back-off after an attempt.
CREATE OR REPLACE FUNCTION muster.why_time(
	p_task muster.task, p_state text)
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	IF p_state <> 'scheduled' THEN
		RETURN NULL;
	END IF;
	RETURN (SELECT format('it waits until %s', s.run_at)
			|| coalesce(', after: ' || p_task.error, '')
		FROM muster.scheduled s WHERE s.task_id = p_task.id
			AND s.ticket = p_task.ticket LIMIT 1);
END
$$;

CREATE OR REPLACE FUNCTION muster.why_arriving(
	p_task muster.task, p_state text)
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN CASE WHEN p_state = 'arriving'
		THEN 'it waits for a scheduler to admit it' END;
END
$$;

CREATE OR REPLACE FUNCTION muster.why_skipping(
	p_task muster.task, p_state text)
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN CASE WHEN p_state = 'blocked' AND EXISTS (
			SELECT FROM muster.remainder r WHERE r.task_id = p_task.id)
		THEN 'a need of it was not met: it is about to be skipped' END;
END
$$;

CREATE OR REPLACE FUNCTION muster.why_blocked(
	p_task muster.task, p_state text)
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT format('it waits for %s task%s', b.need,
			CASE WHEN b.need <> 1 THEN 's' END)
		FROM muster.blocked b
		WHERE p_state = 'blocked' AND b.task_id = p_task.id);
END
$$;

CREATE OR REPLACE FUNCTION muster.why_running(
	p_task muster.task, p_state text)
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	IF p_state <> 'running' THEN
		RETURN NULL;
	END IF;
	RETURN (SELECT format('it is run by worker %s (process %s on %s) since '
			'%s%s', w.id, w.pid, w.host, l.taken_at,
			CASE WHEN EXISTS (SELECT FROM muster.cancelling c
					WHERE c.worker_id = w.id
					AND c.task_id = p_task.id)
				THEN ', which was told to cancel it' END)
		FROM muster.lease l
		JOIN muster.worker w ON w.id = l.worker_id
		WHERE p_task.id = ANY (l.task_ids) LIMIT 1);
END
$$;

-- Its place in the line.
CREATE OR REPLACE FUNCTION muster.why_line(
	p_task muster.task, p_state text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_before bigint;
	v_running bigint;
BEGIN
	IF p_state <> 'ready' THEN
		RETURN NULL;
	END IF;
	SELECT count(*) INTO v_before FROM (
		SELECT FROM muster.ready r WHERE r.route_id = p_task.route_id
			AND (r.rank < p_task.rank
				OR r.rank = p_task.rank AND r.seq < (
				SELECT min(x.seq) FROM muster.ready x
				WHERE x.route_id = p_task.route_id
				AND x.task_id = p_task.id))
		LIMIT 10000) x;
	SELECT count(*) INTO v_running
	FROM (SELECT unnest(l.task_ids) AS id FROM muster.lease l) l
	CROSS JOIN LATERAL (SELECT FROM muster.task t WHERE t.id = l.id
		AND t.route_id = p_task.route_id OFFSET 0) t;
	RETURN format('it is ready and waits for a free slot: %s%s before it, '
		'%s running', v_before, CASE WHEN v_before = 10000
		THEN ' or more' END, v_running);
END
$$;
