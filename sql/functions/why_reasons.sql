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
		WHEN 'cancelled' THEN CASE
			WHEN p_task.error LIKE 'cancelled%' THEN p_task.error
			ELSE 'it was cancelled' || coalesce(': ' || p_task.error, '')
			END
		WHEN 'skipped' THEN 'it was skipped: ' || p_task.error
		END;
END
$$;

-- What only a scheduler moves, while there is none. Each daemon has one: it shows
-- by its session, by the list of sleepers or by its workers.
CREATE OR REPLACE FUNCTION muster.why_no_scheduler(
	p_task muster.task, p_state text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_what text := CASE
		WHEN p_state = 'arriving' THEN 'to admit it'
		WHEN p_state = 'blocked' AND EXISTS (SELECT FROM muster.placing p
				WHERE p.task_id = p_task.id AND p.life = p_task.life)
			THEN 'to look at all that it needs'
		WHEN p_state = 'scheduled' AND EXISTS (
				SELECT FROM muster.scheduled s
				WHERE s.task_id = p_task.id
				AND s.run_at < now() - interval '1 min')
			THEN 'to move it, since its time has come'
		WHEN muster.why_skipping(p_task, p_state) IS NOT NULL
			THEN 'to skip it, since a need of it was not met'
		END;
BEGIN
	IF v_what IS NULL OR muster.why_worker_alive()
			OR EXISTS (SELECT FROM muster.sleepers s WHERE s.id < 0
				AND s.listed_at > now() - interval '3 min')
			OR EXISTS (SELECT FROM pg_stat_activity a
				WHERE a.application_name = 'musterd scheduler'
				AND a.datname = current_database()) THEN
		RETURN NULL;
	END IF;
	RETURN format('it waits for a scheduler %s, but none is alive: no '
		'musterd runs', v_what);
END
$$;

-- Ready for a worker; maps and nested flows are a scheduler's.
CREATE OR REPLACE FUNCTION muster.why_claimable(
	p_task muster.task, p_state text)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RETURN p_state = 'ready' AND muster.why_queue(p_task) <> '-';
END
$$;

-- Whether a worker gave a sign of life lately: it does so every few seconds.
CREATE OR REPLACE FUNCTION muster.why_worker_alive()
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RETURN EXISTS (SELECT FROM muster.worker w WHERE w.dead_at IS NULL
		AND w.last_beat_at > now() - interval '1 min');
END
$$;

CREATE OR REPLACE FUNCTION muster.why_paused(
	p_task muster.task, p_state text)
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	IF p_state NOT IN ('ready', 'waiting') THEN
		RETURN NULL;
	END IF;
	RETURN (SELECT CASE WHEN p.queue IS NOT NULL
			THEN format('its queue %s is paused since %s', p.queue,
				p.since)
			ELSE format('its kind %s is paused since %s', p.kind, p.since)
			END
		FROM muster.paused p WHERE p.queue = muster.why_queue(p_task)
			OR p.kind = muster.why_kind(p_task)
		ORDER BY p.queue LIMIT 1);
END
$$;

CREATE OR REPLACE FUNCTION muster.why_no_worker(
	p_task muster.task, p_state text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_last timestamptz;
BEGIN
	IF NOT muster.why_claimable(p_task, p_state)
			OR muster.why_worker_alive() THEN
		RETURN NULL;
	END IF;
	SELECT max(w.last_beat_at) INTO v_last FROM muster.worker w
	WHERE w.dead_at IS NULL;
	RETURN 'it is ready, but there is no live worker'
		|| coalesce(': the last sign of one came at ' || v_last, '');
END
$$;

CREATE OR REPLACE FUNCTION muster.why_unknown_kind(
	p_task muster.task, p_state text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_queue CONSTANT text := muster.why_queue(p_task);
	v_kind CONSTANT text := muster.why_kind(p_task);
	v_knows text; -- a host
BEGIN
	IF NOT muster.why_claimable(p_task, p_state)
			OR EXISTS (SELECT FROM muster.worker w
			WHERE w.dead_at IS NULL AND v_queue = ANY (w.queues)
			AND v_kind = ANY (w.kinds)) THEN
		RETURN NULL;
	END IF;
	SELECT w.host INTO v_knows FROM muster.worker w
	WHERE w.dead_at IS NULL AND v_kind = ANY (w.kinds) LIMIT 1;
	RETURN format('it is ready, but no live worker runs kind %s in '
		'queue %s: %s', v_kind, v_queue, coalesce('host ' || v_knows
		|| ' knows the kind, but not that queue', 'no host knows the '
		'kind'));
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
			|| CASE WHEN p_task.error IS NULL THEN ''
			ELSE format(', for attempt %s%s, after: %s',
				p_task.attempts + 1,
				' of ' || p_task.max_attempts, p_task.error)
			END
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
			SELECT FROM muster.remainder r
			WHERE r.task_id = p_task.id OR r.task_id = (SELECT s.set_id
				FROM muster.set_places(ARRAY[p_task.id]) s))
		THEN 'a need of it was not met: it is about to be skipped' END;
END
$$;

CREATE OR REPLACE FUNCTION muster.why_blocked(
	p_task muster.task, p_state text)
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT CASE WHEN b.spare >= muster.place_guard() / 2
			THEN 'it was brought back: its needs are looked at again'
			ELSE format('it waits for %s %stask%s', b.need,
				CASE WHEN b.spare > 0
				THEN format('of %s ', b.need + b.spare) END,
				CASE WHEN b.need + b.spare <> 1 THEN 's' END) END
		FROM muster.blocked b
		WHERE p_state = 'blocked' AND b.task_id = coalesce((SELECT s.set_id
			FROM muster.set_places(ARRAY[p_task.id]) s), p_task.id));
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
			'%s', w.id, w.pid, w.host, l.taken_at)
			|| CASE WHEN EXISTS (SELECT FROM muster.cancelling c
					WHERE c.worker_id = w.id
					AND c.task_id = p_task.id)
				THEN ', which was told to cancel it' ELSE '' END
			|| CASE WHEN p_task.id = ANY (l.followers)
				THEN ', where others of its key come first'
				ELSE '' END
			|| CASE WHEN w.last_beat_at < now() - interval '1 min'
				THEN '; its last sign of life came at '
				|| w.last_beat_at ELSE '' END
		FROM muster.lease l
		JOIN muster.worker w ON w.id = l.worker_id
		WHERE p_task.id = ANY (l.task_ids) LIMIT 1);
END
$$;

-- Its place in the line; no more than 10,000 are counted.
CREATE OR REPLACE FUNCTION muster.why_line(
	p_task muster.task, p_state text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_seq bigint;
	v_within bigint; -- before it in its row
	v_before bigint;
	v_running bigint;
BEGIN
	IF NOT muster.why_claimable(p_task, p_state) THEN
		RETURN NULL;
	END IF;
	SELECT x.seq, p_task.id - x.task_id INTO v_seq, v_within FROM (
		SELECT r.seq, r.task_id, r.ticket, r.n FROM muster.ready r
		WHERE r.route_id = p_task.route_id AND r.rank = p_task.rank
			AND r.lane = p_task.lane ORDER BY r.seq LIMIT 10000) x
	WHERE p_task.id BETWEEN x.task_id AND x.task_id + x.n - 1
		AND x.ticket = p_task.ticket;
	SELECT least(coalesce(sum(x.n), 0) + coalesce(v_within, 0), 10000)
	INTO v_before FROM (
		SELECT r.n FROM muster.ready r WHERE r.route_id = p_task.route_id
			AND (r.rank < p_task.rank OR r.rank = p_task.rank
				AND r.seq < coalesce(v_seq, 9223372036854775807))
		LIMIT 10000) x;
	SELECT count(*) INTO v_running
	FROM (SELECT unnest(l.task_ids) AS id FROM muster.lease l) l
	CROSS JOIN LATERAL (SELECT FROM muster.task t WHERE t.id = l.id
		AND t.route_id = p_task.route_id OFFSET 0) t;
	RETURN format('it is ready and waits for %s: %s%s before it, '
		'%s running', coalesce(
			muster.why_limit('q', muster.why_queue(p_task)),
			muster.why_limit('k', muster.why_kind(p_task)),
			'a free slot'), v_before,
		CASE WHEN v_before = 10000 THEN ' or more' END, v_running);
END
$$;
