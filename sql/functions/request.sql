-- Requests: what clients ask to be done to standing things. They only insert;
-- a scheduler carries it out right after their commit and notes the answer.

CREATE OR REPLACE FUNCTION muster.ask(
	p_verb text, p_target bigint, p_queue text)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	v_id bigint := nextval('muster.request_id');
BEGIN
	IF p_target IS NULL AND p_queue IS NULL THEN
		RAISE EXCEPTION '% needs the %', p_verb, CASE p_verb
			WHEN 'cancel_flow' THEN 'id of a flow'
			WHEN 'retry_flow' THEN 'id of a flow'
			WHEN 'pause' THEN 'name of a queue'
			WHEN 'resume' THEN 'name of a queue'
			ELSE 'id of a task' END USING ERRCODE = 'MU003';
	END IF;
	INSERT INTO muster.request (id, verb, target, queue, wakes)
	VALUES (v_id, p_verb, p_target, p_queue, true);
	RETURN v_id;
END
$$;

CREATE OR REPLACE FUNCTION muster.cancel(task_id bigint)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN muster.ask('cancel', task_id, NULL);
END
$$;

CREATE OR REPLACE FUNCTION muster.cancel_flow(flow_id bigint)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN muster.ask('cancel_flow', flow_id, NULL);
END
$$;

CREATE OR REPLACE FUNCTION muster.retry(task_id bigint)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN muster.ask('retry', task_id, NULL);
END
$$;

CREATE OR REPLACE FUNCTION muster.retry_flow(flow_id bigint)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN muster.ask('retry_flow', flow_id, NULL);
END
$$;

-- Cancelled if it is open, then removed as if it had never been: those that
-- depend on it are told that it was cancelled, or were told how it had ended.
CREATE OR REPLACE FUNCTION muster.delete(task_id bigint)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN muster.ask('delete', task_id, NULL);
END
$$;

CREATE OR REPLACE FUNCTION muster.pause(queue text)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM muster.check_name('queue', queue);
	RETURN muster.ask('pause', NULL, queue);
END
$$;

CREATE OR REPLACE FUNCTION muster.resume(queue text)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM muster.check_name('queue', queue);
	RETURN muster.ask('resume', NULL, queue);
END
$$;

-- One row; done is false as long as the request waits, answer and verdict null
-- with it. A verdict of done: what was asked for holds now or soon will; refused:
-- it won't. Of a request that is not known (any more) it is null.
CREATE OR REPLACE FUNCTION muster.request_status(id bigint)
RETURNS TABLE (done boolean, answer text, verdict text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY SELECT r.done_at IS NOT NULL, r.answer, r.verdict
	FROM muster.request r WHERE r.id = request_status.id;
	IF NOT FOUND THEN
		RETURN QUERY SELECT true, 'there is no request '
			|| request_status.id || ' (any more)', NULL;
	END IF;
END
$$;

-- Waits until no turn is under way, and holds off those that come until this
-- transaction ends. False if one takes long: nobody else shall wait for that.
CREATE OR REPLACE FUNCTION muster.hold_turns()
RETURNS boolean LANGUAGE plpgsql SET lock_timeout = '40ms' AS $$
BEGIN
	PERFORM pg_advisory_xact_lock(hashtext('muster turn'));
	RETURN true;
EXCEPTION WHEN lock_not_available THEN
	RETURN false;
END
$$;

-- Carries out open requests, oldest first, until p_limit tasks were touched;
-- how much was done. What some other transaction holds is stepped over and
-- done by a later call. One at a time in the database.
-- Locks: first hold_turns(); then task for update, never waiting: a finish may
-- wait for it.
CREATE OR REPLACE FUNCTION muster.carry_out(p_limit int)
RETURNS int LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
	v_request muster.request;
	v_alone boolean;
	v_done int := 0;
BEGIN
	PERFORM muster.check_isolation();
	IF NOT pg_try_advisory_xact_lock(hashtext('muster carry_out'))
			OR NOT EXISTS (SELECT FROM muster.request r
				WHERE r.done_at IS NULL) THEN
		RETURN 0;
	END IF;
	v_alone := muster.hold_turns();
	FOR v_request IN SELECT * FROM muster.request r
			WHERE r.done_at IS NULL ORDER BY r.id LIMIT p_limit LOOP
		EXIT WHEN v_done >= p_limit;
		v_done := v_done + CASE
			WHEN v_request.total IS NOT NULL THEN muster.do_bulk(
				v_request, p_limit - v_done, v_alone)
			ELSE CASE v_request.verb
			WHEN 'cancel' THEN muster.do_cancel(v_request, v_alone)
			WHEN 'delete' THEN muster.do_delete(v_request, v_alone)
			WHEN 'retry' THEN muster.do_retry(v_request)
			WHEN 'retry_flow' THEN muster.do_retry_flow(v_request,
				p_limit - v_done)
			WHEN 'replace' THEN muster.do_replace(v_request, v_alone)
			WHEN 'pause' THEN muster.do_pause(v_request, p_limit)
			WHEN 'resume' THEN muster.do_resume(v_request)
			WHEN 'pause_kind' THEN muster.do_pause_kind(v_request,
				p_limit)
			WHEN 'resume_kind' THEN muster.do_resume_kind(v_request)
			WHEN 'reopen' THEN muster.container_reopen(v_request,
				p_limit - v_done)
			ELSE muster.do_cancel_flow(v_request, p_limit - v_done,
				v_alone) END END;
	END LOOP;
	RETURN v_done;
END
$$;

-- Notes the answer, a sentence for people; always 1.
CREATE OR REPLACE FUNCTION muster.answer(
	p_request bigint, p_verdict text, p_answer text)
RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	UPDATE muster.request SET done_at = clock_timestamp(),
		verdict = p_verdict, answer = p_answer
	WHERE id = p_request;
	RETURN 1;
END
$$;

-- These routes are paused, by this request (p_new) or before: what of them is ready
-- gives back its concurrency keys, p_limit tasks at a time.
CREATE OR REPLACE FUNCTION muster.end_pause(p_request muster.request,
	p_new boolean, p_limit int, p_routes int[], p_what text)
RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	IF NOT p_new AND p_request.cursor = 0 THEN
		RETURN muster.answer(p_request.id, 'done',
			p_what || ' was paused already');
	ELSIF muster.lock_shed(p_routes, p_limit) = p_limit THEN
		UPDATE muster.request SET cursor = 1 WHERE id = p_request.id;
		RETURN p_limit;
	END IF;
	RETURN muster.answer(p_request.id, 'done',
		p_what || ' is paused; what runs goes on');
END
$$;

CREATE OR REPLACE FUNCTION muster.do_pause(
	p_request muster.request, p_limit int)
RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO muster.paused (queue) VALUES (p_request.queue)
	ON CONFLICT DO NOTHING;
	RETURN muster.end_pause(p_request, FOUND, p_limit, ARRAY(
		SELECT r.id FROM muster.route r
		WHERE r.queue = p_request.queue), 'queue ' || p_request.queue);
END
$$;

CREATE OR REPLACE FUNCTION muster.do_resume(p_request muster.request)
RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM muster.paused p WHERE p.queue = p_request.queue;
	IF NOT FOUND THEN
		RETURN muster.answer(p_request.id, 'done',
			format('queue %s was not paused', p_request.queue));
	END IF;
	PERFORM muster.lock_unshut(ARRAY(SELECT r.id FROM muster.route r
		WHERE r.queue = p_request.queue));
	PERFORM muster.announce(ARRAY(SELECT r.route_id FROM muster.ready r
		WHERE r.route_id IN (SELECT x.id FROM muster.route x
			WHERE x.queue = p_request.queue) LIMIT 1000));
	RETURN muster.answer(p_request.id, 'done',
		format('queue %s goes on', p_request.queue));
END
$$;
