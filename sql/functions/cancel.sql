-- Cancelling, as carry_out() does it.

-- One task.
CREATE OR REPLACE FUNCTION muster.do_cancel(
	p_request muster.request, p_alone boolean)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_id CONSTANT bigint := p_request.target;
	v_state "char";
	v_told bigint[];
	v_gone bigint[];
BEGIN
	SELECT t.state INTO v_state FROM muster.task t
	WHERE t.id = v_id FOR UPDATE SKIP LOCKED;
	IF NOT FOUND THEN
		IF EXISTS (SELECT FROM muster.task t WHERE t.id = v_id) THEN
			RETURN 0;
		END IF;
		RETURN muster.answer(p_request.id, 'refused',
			format('there is no task %s', v_id));
	ELSIF v_state IS NOT NULL THEN
		RETURN muster.answer(p_request.id, 'refused',
			format('task %s had ended: %s', v_id,
				muster.state_name(v_state)));
	END IF;
	SELECT c.o_gone, c.o_told INTO v_gone, v_told
	FROM muster.cancel_tasks(ARRAY[v_id],
		'cancelled on request of ' || p_request.asked_by, p_alone) c;
	IF v_gone IS NOT NULL THEN
		RETURN muster.answer(p_request.id, 'done',
			format('task %s is cancelled', v_id));
	ELSIF v_told IS NOT NULL THEN
		RETURN muster.answer(p_request.id, 'done', format(CASE
			WHEN EXISTS (SELECT FROM muster.container c
				WHERE c.task_id = v_id)
			THEN 'task %s runs; the tasks that it holds are cancelled'
			ELSE 'task %s is running; its worker was told' END, v_id));
	END IF;
	RETURN 0;
END
$$;

-- Cancels open tasks (ascending, locked for update by the caller): o_gone are
-- cancelled, o_told run and their workers were told. Neither: some other
-- transaction is just moving it; to be tried again.
-- The places are looked at in the order in which tasks move through them, so
-- that one that moves meanwhile is still met; what is in none of them is ready,
-- and its row there becomes stale by the new ticket. Or a turn is just claiming
-- it: unless p_alone (hold_turns()), only what runs is touched.
CREATE OR REPLACE FUNCTION muster.cancel_tasks(p_ids bigint[], p_error text,
	p_alone boolean, OUT o_gone bigint[], OUT o_told bigint[])
LANGUAGE plpgsql AS $$
DECLARE
	v_busy bigint[];
	v_keyed bigint[];
BEGIN
	o_told := muster.cancel_running(p_ids)
		|| muster.container_cancel(p_ids, p_error);
	IF NOT p_alone THEN
		RETURN;
	END IF;
	v_keyed := muster.without(p_ids, o_told);
	v_keyed := ARRAY(SELECT t.id FROM muster.task t
		WHERE t.id = ANY (v_keyed) AND t.lock_id IS NOT NULL
		ORDER BY t.id);
	IF v_keyed <> '{}' THEN
		v_busy := muster.cancel_keyed(v_keyed);
	END IF;
	v_busy := v_busy || muster.cancel_arriving(p_ids);
	DELETE FROM muster.container c
	WHERE c.task_id = ANY (p_ids) AND c.flow_id IS NULL;
	v_busy := v_busy
		|| muster.cancel_waiting(muster.without(p_ids, v_keyed));
	o_gone := nullif(muster.without(p_ids, o_told || v_busy), '{}');
	IF o_gone IS NOT NULL THEN
		UPDATE muster.task t SET state = 'c', finished_at = now(),
			ticket = (t.ticket + 1) % 32768, error = p_error
		WHERE t.id = ANY (o_gone);
		PERFORM muster.settle_final(o_gone, true, o_gone);
	END IF;
END
$$;

-- Takes tasks that have a concurrency key (ascending) out of their places, but for
-- arriving, which is the next that the caller looks at, and hands
-- on the slots of those that are ready; gives those that some other transaction is
-- just moving. Which of them are ready is seen at one moment: those that stand
-- nowhere else then. They stay so, since nothing is claimed now; and as their
-- tasks are locked, none of the others is admitted meanwhile.
CREATE OR REPLACE FUNCTION muster.cancel_keyed(p_ids bigint[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	v_else bigint[];
	v_line bigint[];
	v_met bigint[];
	v_busy bigint[];
	v_locks bigint[];
BEGIN
	SELECT array_agg(p.task_id), array_agg(p.task_id) FILTER (WHERE p.waits)
	INTO v_else, v_line
	FROM (SELECT a.task_id, false AS waits FROM muster.arriving a
			WHERE a.task_id = ANY (p_ids)
		UNION ALL SELECT b.task_id, false FROM muster.blocked b
			WHERE b.task_id = ANY (p_ids)
		UNION ALL SELECT s.task_id, false FROM muster.scheduled s
			WHERE s.task_id = ANY (p_ids)
		UNION ALL SELECT r.task_id, false FROM muster.remainder r
			WHERE r.task_id = ANY (p_ids)
		UNION ALL SELECT w.task_id, true FROM muster.waiting w
			WHERE w.task_id = ANY (p_ids)) p;
	v_met := muster.without(p_ids, v_else);
	SELECT array_agg(t.lock_id) INTO v_locks FROM muster.task t
	WHERE t.id = ANY (v_met);
	v_busy := muster.cancel_waiting(v_else);
	WITH gone AS (
		DELETE FROM muster.waiting w WHERE w.ctid = ANY (ARRAY(
			SELECT x.ctid FROM muster.waiting x
			WHERE x.task_id = ANY (v_line) FOR UPDATE SKIP LOCKED))
		RETURNING w.task_id
	)
	SELECT array_agg(g.task_id) INTO v_met FROM gone g;
	IF v_locks IS NOT NULL THEN
		PERFORM muster.lock_free(v_locks);
	END IF;
	RETURN v_busy || muster.without(v_line, v_met);
END
$$;

-- Takes tasks out of arriving; gives those whose flow some other transaction holds,
-- which may just end it. Their flows did not count them yet: those that go on do so now,
-- and what came when its flow had ended leaves it.
CREATE OR REPLACE FUNCTION muster.cancel_arriving(p_ids bigint[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	v_flows CONSTANT bigint[] := ARRAY(SELECT DISTINCT a.flow_id
		FROM muster.arriving a
		WHERE a.task_id = ANY (p_ids) AND a.flow_id IS NOT NULL);
	v_open bigint[];
	v_held bigint[];
	v_busy bigint[];
BEGIN
	IF v_flows <> '{}' THEN
		SELECT array_agg(f.id) FILTER (WHERE f.finished_at IS NULL),
			array_agg(f.id)
		INTO v_open, v_held
		FROM (SELECT x.id, x.finished_at FROM muster.flow x
			WHERE x.id = ANY (v_flows)
			ORDER BY x.id FOR SHARE SKIP LOCKED) f;
		v_held := ARRAY(SELECT f.id FROM muster.flow f -- by others
			WHERE f.id = ANY (muster.without(v_flows, v_held)));
		v_busy := ARRAY(SELECT a.task_id FROM muster.arriving a
			WHERE a.task_id = ANY (p_ids)
				AND a.flow_id = ANY (v_held));
		UPDATE muster.task t SET flow_id = NULL
		WHERE t.id = ANY (p_ids) AND t.flow_id = ANY (muster.without(
				v_flows, v_open || v_held))
			AND EXISTS (SELECT FROM muster.arriving a
				WHERE a.task_id = t.id AND a.flow_id = t.flow_id);
	END IF;
	WITH gone AS (
		DELETE FROM muster.arriving a
		WHERE a.task_id = ANY (muster.without(p_ids, v_busy))
		RETURNING a.flow_id
	)
	INSERT INTO muster.flow_delta (flow_id, total)
	SELECT g.flow_id, count(*) FROM gone g
	WHERE g.flow_id = ANY (v_open) GROUP BY g.flow_id;
	RETURN v_busy;
END
$$;

-- Those that are leased: their workers are told, at their next turn and by a
-- notification that asks for one.
CREATE OR REPLACE FUNCTION muster.cancel_running(p_ids bigint[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	v_task bigint[];
	v_worker bigint[];
BEGIN
	SELECT array_agg(l.task), array_agg(l.worker_id) INTO v_task, v_worker
	FROM (SELECT x.worker_id, unnest(x.task_ids) AS task
		FROM muster.lease x
		WHERE x.id >= muster.list_mark('lease')) l
	WHERE (l.task IN (SELECT unnest(p_ids))) IS TRUE; -- hashed, not joined
	INSERT INTO muster.cancelling
	SELECT * FROM unnest(v_worker, v_task) ON CONFLICT DO NOTHING;
	PERFORM pg_notify('muster', 'cancel ' || u.id)
	FROM (SELECT DISTINCT unnest(v_worker) AS id) u;
	RETURN v_task;
END
$$;

-- Takes tasks out of blocked and scheduled; gives those whose row another
-- transaction holds, or that are just about to be skipped. A set's row stays, but
-- nobody moves it before the caller's commit, by which a task of it is stale there.
CREATE OR REPLACE FUNCTION muster.cancel_waiting(p_ids bigint[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	v_busy bigint[];
	v_more bigint[];
	v_held bigint[];
BEGIN
	SELECT h.o_busy INTO v_held FROM muster.set_hold(p_ids) h;
	WITH hit AS (
		SELECT b.task_id FROM muster.blocked b
		WHERE b.task_id = ANY (p_ids) FOR UPDATE SKIP LOCKED
	), gone AS (
		DELETE FROM muster.blocked b
		WHERE b.task_id = ANY (ARRAY(SELECT h.task_id FROM hit h))
		RETURNING b.task_id
	)
	SELECT array_agg(b.task_id) INTO v_busy FROM muster.blocked b
	WHERE b.task_id = ANY (p_ids)
		AND (b.task_id IN (SELECT g.task_id FROM gone g)) IS FALSE;
	WITH hit AS (
		SELECT s.ctid AS at FROM muster.scheduled s
		WHERE s.task_id = ANY (p_ids) FOR UPDATE SKIP LOCKED
	), gone AS (
		DELETE FROM muster.scheduled s
		WHERE s.ctid = ANY (ARRAY(SELECT h.at FROM hit h))
		RETURNING s.task_id
	)
	SELECT array_agg(s.task_id) INTO v_more FROM muster.scheduled s
	WHERE s.task_id = ANY (p_ids)
		AND (s.task_id IN (SELECT g.task_id FROM gone g)) IS FALSE;
	RETURN v_held || v_busy || v_more || (SELECT array_agg(r.task_id)
		FROM muster.remainder r WHERE r.task_id = ANY (p_ids));
END
$$;

-- Locks the sets in which these tasks, locked by the caller, stand, and marks them as
-- mixed: o_in are those of which it could, o_sets their sets, o_busy those whose set
-- another transaction holds.
CREATE OR REPLACE FUNCTION muster.set_hold(p_ids bigint[],
	OUT o_in bigint[], OUT o_sets bigint[], OUT o_busy bigint[])
LANGUAGE plpgsql AS $$
DECLARE
	v_ids bigint[];
	v_sets bigint[];
BEGIN
	SELECT array_agg(p.task_id), array_agg(p.set_id) INTO v_ids, v_sets
	FROM muster.set_places(p_ids) p;
	IF v_ids IS NULL THEN
		RETURN;
	END IF;
	SELECT array_agg(l.task_id) INTO o_sets
	FROM (SELECT b.task_id FROM muster.blocked b
		WHERE b.task_id = ANY (v_sets)
		ORDER BY b.task_id FOR UPDATE SKIP LOCKED) l;
	UPDATE muster.blocked b SET mixed = true
	WHERE b.task_id = ANY (o_sets) AND NOT b.mixed;
	SELECT array_agg(u.id) FILTER (WHERE u.held),
		array_agg(u.id) FILTER (WHERE NOT u.held AND EXISTS (
			SELECT FROM muster.blocked b WHERE b.task_id = u.set))
	INTO o_in, o_busy
	FROM (SELECT x.id, x.set,
			(x.set IN (SELECT unnest(o_sets))) IS TRUE AS held
		FROM unnest(v_ids, v_sets) x(id, set)) u;
END
$$;

-- A whole flow, on request or because a task of it failed; about p_limit tasks at
-- a time, from request.cursor on. tally: what became of those that this walk has
-- met; left are those that some other transaction holds, for which there is another
-- walk.
CREATE OR REPLACE FUNCTION muster.do_cancel_flow(
	p_request muster.request, p_limit int, p_alone boolean)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_flow CONSTANT bigint := p_request.target;
	v_near CONSTANT int := p_limit + 1000; -- most have ended, maybe
	v_seen bigint[];
	v_met int;
	v_last bigint;
	v_ids bigint[];
	v_gone int := 0;
	v_told int := 0;
	v_left int;
BEGIN
	IF p_request.cursor = 0 THEN
		PERFORM FROM muster.flow f
		WHERE f.id = v_flow FOR NO KEY UPDATE SKIP LOCKED;
		IF FOUND THEN
			UPDATE muster.flow f SET stopped = true
			WHERE f.id = v_flow AND NOT f.stopped
				AND f.finished_at IS NULL;
		ELSIF EXISTS (SELECT FROM muster.flow f WHERE f.id = v_flow) THEN
			RETURN 0;
		ELSE
			RETURN muster.answer(p_request.id, 'refused',
				format('there is no flow %s', v_flow));
		END IF;
	END IF;
	SELECT count(*), max(t.id), (array_agg(t.id ORDER BY t.id)
		FILTER (WHERE t.state IS NULL))[: p_limit]
	INTO v_met, v_last, v_seen
	FROM (SELECT x.id, x.state FROM muster.task x
		WHERE x.flow_id = v_flow AND x.id > p_request.cursor
		ORDER BY x.id LIMIT v_near) t;
	SELECT array_agg(t.id) INTO v_ids
	FROM (SELECT x.id FROM muster.task x
		WHERE x.id = ANY (v_seen) AND x.state IS NULL
		ORDER BY x.id FOR UPDATE SKIP LOCKED) t;
	IF v_ids IS NOT NULL THEN
		SELECT coalesce(cardinality(c.o_gone), 0),
			coalesce(cardinality(c.o_told), 0)
		INTO v_gone, v_told
		FROM muster.cancel_tasks(v_ids, coalesce(
			muster.container_cause(v_flow), CASE p_request.verb
			WHEN 'stop_flow' THEN 'its flow was stopped by a failure'
			ELSE 'its flow was cancelled on request of '
				|| p_request.asked_by END), p_alone) c;
	END IF;
	SELECT count(*) - v_told INTO v_left FROM muster.task t
	WHERE t.id = ANY (v_seen) AND t.state IS NULL AND NOT EXISTS (
		SELECT FROM muster.remainder r -- to be skipped
		WHERE r.task_id = t.id OFFSET 0);
	UPDATE muster.request r
	SET count = r.count + v_gone, tally = muster.tally_sum(r.tally,
			jsonb_build_object('told', v_told, 'left', v_left)),
		cursor = coalesce(CASE cardinality(v_seen) WHEN p_limit
			THEN v_seen[p_limit] ELSE v_last END, r.cursor)
	WHERE r.id = p_request.id;
	IF v_met = v_near OR cardinality(v_seen) = p_limit THEN
		RETURN p_limit;
	END IF;
	RETURN muster.end_cancel_flow(p_request.id, v_flow) + v_gone;
END
$$;

-- All tasks of the flow have been met. Done, unless some were held by others:
-- then from the start again at the next call.
CREATE OR REPLACE FUNCTION muster.end_cancel_flow(
	p_request bigint, p_flow bigint)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_request muster.request;
BEGIN
	SELECT * INTO v_request FROM muster.request r WHERE r.id = p_request;
	IF (v_request.tally -> 'left')::int > 0 THEN
		UPDATE muster.request SET cursor = 0, tally = '{}'
		WHERE id = p_request;
		RETURN 0;
	END IF;
	PERFORM muster.announce_work(); -- for unlock()
	RETURN muster.answer(p_request, 'done', format('flow %s: %s tasks are '
		'cancelled, the workers of %s running ones were told', p_flow,
		v_request.count, v_request.tally -> 'told'));
END
$$;
