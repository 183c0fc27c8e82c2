-- Requests: what clients ask to be done to standing things. They only insert;
-- a scheduler carries it out right after their commit and notes the answer.

-- That of a new request. Its transaction has its own before (mark.sql).
CREATE OR REPLACE FUNCTION muster.request_number()
RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_current_xact_id();
	RETURN nextval('muster.request_id');
END
$$;

CREATE OR REPLACE FUNCTION muster.ask(
	p_verb text, p_target bigint, p_queue text)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	v_id bigint := muster.request_number();
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

-- Carries out open requests until p_limit tasks were touched or its time is
-- over, since turns may be held off meanwhile; how much was done, p_limit or more if
-- there may be more to do at once. Those for one task or queue come first, then those
-- for a flow, then those for many tasks, of which one row of the list is done; the
-- sorts share the time, and each is taken in order. What some other transaction
-- holds, or what can do nothing yet, is stepped over and met again in the next round,
-- which begins when all that stood there has been met. One at a time in the
-- database.
-- Locks: first hold_turns(), if anything of it may be ready; then task for update,
-- never waiting: a finish may wait for it.
CREATE OR REPLACE FUNCTION muster.carry_out(p_limit int)
RETURNS int LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
	v_sorts int[];
	v_after bigint[];
	v_last bigint[];
	v_upto bigint[];
	v_worked bigint[];
	v_alone boolean;
	v_from timestamptz;
	v_did int;
	v_at bigint;
	v_done int := 0;
	v_more boolean := false;
BEGIN
	PERFORM muster.check_isolation();
	IF NOT pg_try_advisory_xact_lock(hashtext('muster carry_out')) THEN
		RETURN 0;
	END IF;
	SELECT array_agg(n.sort), array_agg(n.after), array_agg(n.last),
		array_agg(n.upto), array_agg(n.worked), bool_or(n.alone)
	INTO v_sorts, v_after, v_last, v_upto, v_worked, v_alone
	FROM muster.carry_next() n;
	IF v_sorts IS NULL THEN
		RETURN 0;
	END IF;
	v_alone := v_alone AND muster.hold_turns();
	v_from := clock_timestamp();
	FOR i IN 1 .. cardinality(v_sorts) LOOP
		SELECT c.o_done, c.o_at INTO v_did, v_at
		FROM muster.carry_sort(v_sorts[i], v_after[i], v_last[i],
			p_limit - v_done, v_alone,
			v_from + interval '15 ms' * i / cardinality(v_sorts)) c;
		v_done := v_done + v_did;
		v_more := muster.carry_noted(v_sorts[i], v_at, v_upto[i],
			v_worked[i] + v_did) OR v_more;
		EXIT WHEN v_done >= p_limit;
	END LOOP;
	RETURN CASE WHEN v_more THEN greatest(v_done, p_limit) ELSE v_done END;
END
$$;

-- Of each sort that has open requests the next: up to 1000 behind where the last call
-- stopped (after), up to last, and whether one of them needs that turns are held off.
-- A round ends where there are no more, or with the call that has met all that stood
-- there when it began (upto); worked: how much it has done. Where it stands is known to the session: another one, whose scheduler has a
-- round of its own, has no use for it.
CREATE OR REPLACE FUNCTION muster.carry_next()
RETURNS TABLE (sort int, after bigint, last bigint, upto bigint, worked bigint,
	alone boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	v_first CONSTANT bigint := muster.list_mark('request') - 1;
BEGIN
	RETURN QUERY
	SELECT s.sort, b.after, w.last, b.upto, b.worked, w.alone
	FROM generate_series(1, 3) s(sort)
	CROSS JOIN LATERAL (SELECT nullif(current_setting(
			'muster.carry_' || s.sort, true), '')::bigint[] AS at OFFSET 0) c
	CROSS JOIN LATERAL (SELECT max(x.id) AS upto FROM (
		SELECT r.id FROM muster.request r
		WHERE r.done_at IS NULL AND r.sort = s.sort AND r.id > v_first
		ORDER BY r.id DESC LIMIT 1) x) e
	CROSS JOIN LATERAL (SELECT c.at[1] < c.at[2] AS goes_on OFFSET 0) g
	CROSS JOIN LATERAL (SELECT
		CASE WHEN g.goes_on THEN c.at[1] ELSE v_first END AS after,
		CASE WHEN g.goes_on THEN c.at[2] ELSE e.upto END AS upto,
		CASE WHEN g.goes_on THEN c.at[3] ELSE 0 END AS worked OFFSET 0) b
	CROSS JOIN LATERAL (SELECT max(o.id) AS last,
			bool_or(o.verb IN ('cancel', 'delete', 'replace',
				'stop_flow', 'cancel_flow', 'cancel_tasks',
				'reprioritise_tasks')) AS alone
		FROM (SELECT r.id, r.verb FROM muster.request r
			WHERE r.done_at IS NULL AND r.sort = s.sort
				AND r.id > b.after
			ORDER BY r.id LIMIT 1000) o) w
	WHERE e.upto IS NOT NULL;
END
$$;

-- The round of this sort, in which what stood up to p_upto is to be met and p_worked
-- was done, has come to p_at; null, or p_upto: to its end. Whether there may be more
-- to do at once.
CREATE OR REPLACE FUNCTION muster.carry_noted(
	p_sort int, p_at bigint, p_upto bigint, p_worked bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	v_name CONSTANT text := 'muster.carry_' || p_sort;
	v_was CONSTANT text := coalesce(current_setting(v_name, true), '');
BEGIN
	IF p_at < p_upto THEN
		PERFORM set_config(v_name, ARRAY[p_at, p_upto, p_worked]::text,
			false);
		RETURN true;
	ELSIF v_was = '' THEN
		RETURN false;
	END IF;
	PERFORM set_config(v_name, '', false);
	RETURN p_worked > 0;
END
$$;

-- Of one sort the requests behind p_after up to p_last, until p_until, or until many
-- could do nothing; o_at: behind which there are more, if there are. How long a
-- task takes here and now is learned from the first eight, and the next are as many
-- as there is time for.
CREATE OR REPLACE FUNCTION muster.carry_sort(p_sort int, p_after bigint,
	p_last bigint, p_limit int, p_alone boolean, p_until timestamptz,
	OUT o_done int, OUT o_at bigint)
LANGUAGE plpgsql AS $$
DECLARE
	v_request muster.request;
	v_last bigint := p_after;
	v_took interval := '0'; -- of what was done
	v_most CONSTANT int := CASE WHEN p_sort = 3 THEN least(p_limit, 200)
		ELSE p_limit END;
	v_piece int := least(v_most, 8);
	v_met int := 0;
	v_idle int := 0;
	v_n int;
	v_now timestamptz := clock_timestamp();
	v_before timestamptz;
BEGIN
	o_done := 0;
	LOOP
		SELECT * INTO v_request FROM muster.request r
		WHERE r.done_at IS NULL AND r.sort = p_sort
			AND r.id > v_last AND r.id <= p_last
		ORDER BY r.id LIMIT 1;
		EXIT WHEN NOT FOUND;
		v_n := muster.carry_one(v_request, v_piece, p_alone);
		-- What could do nothing yet keeps back nobody behind it: that may be
		-- what it waits for.
		v_met := v_met + CASE WHEN p_sort = 1 THEN least(v_n, 1)
			ELSE least(v_n, v_piece) END;
		v_idle := v_idle + (v_n = 0)::int;
		o_done := o_done + v_n;
		v_last := v_request.id - (v_n >= v_piece)::int;
		v_before := v_now;
		v_now := clock_timestamp();
		IF v_n > 0 THEN
			v_took := v_took + (v_now - v_before);
		END IF;
		IF v_met >= v_most OR v_idle >= 200
				OR v_met + v_idle >= 8 AND v_now >= p_until THEN
			o_at := v_last;
			RETURN;
		END IF;
		v_piece := least(v_most - v_met, CASE WHEN v_met = 0 THEN 8
			ELSE greatest(1, floor(v_met
			* least(extract(epoch FROM p_until - v_now), 0.005)
			/ nullif(extract(epoch FROM v_took), 0))) END);
	END LOOP;
END
$$;

-- A piece of about p_limit tasks of one request; p_limit or more: there may be more
-- to do at once.
CREATE OR REPLACE FUNCTION muster.carry_one(
	p_request muster.request, p_limit int, p_alone boolean)
RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	RETURN CASE
		WHEN p_request.total IS NOT NULL
		THEN muster.do_bulk(p_request, p_limit, p_alone)
		ELSE CASE p_request.verb
		WHEN 'cancel' THEN muster.do_cancel(p_request, p_alone)
		WHEN 'delete' THEN muster.do_delete(p_request, p_alone)
		WHEN 'retry' THEN muster.do_retry(p_request)
		WHEN 'retry_flow' THEN muster.do_retry_flow(p_request, p_limit)
		WHEN 'replace' THEN muster.do_replace(p_request, p_alone)
		WHEN 'pause' THEN muster.do_pause(p_request, p_limit)
		WHEN 'resume' THEN muster.do_resume(p_request)
		WHEN 'pause_kind' THEN muster.do_pause_kind(p_request, p_limit)
		WHEN 'resume_kind' THEN muster.do_resume_kind(p_request)
		WHEN 'reopen' THEN muster.container_reopen(p_request, p_limit)
		ELSE muster.do_cancel_flow(p_request, p_limit, p_alone) END END;
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
	PERFORM muster.announce(array_agg(h.route_id), array_agg(h.n))
	FROM (SELECT r.route_id, r.n FROM muster.ready r
		WHERE r.route_id IN (SELECT x.id FROM muster.route x
			WHERE x.queue = p_request.queue) LIMIT 1000) h;
	RETURN muster.answer(p_request.id, 'done',
		format('queue %s goes on', p_request.queue));
END
$$;
