-- Retention.

-- Removes up to about p_limit ended tasks of the queues p_queues[i] that ended
-- more than p_keep_ms[i] ago; '' stands for all other queues, and what is not
-- named is kept. A task that an open one depends on stays, and so do those of
-- an unfinished flow; a flow goes as a whole. How many are gone.
-- Locks: finished, task; what others hold is stepped over.
CREATE OR REPLACE FUNCTION muster.purge(
	p_limit int, p_queues text[], p_keep_ms bigint[])
RETURNS int LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
	v_keep interval := (SELECT min(u.ms) FROM unnest(p_keep_ms) u(ms))
		* interval '1 ms';
	v_ctid tid[];
	v_ids bigint[];
	v_flows bigint[];
	v_done int := 0;
	v_flow bigint;
BEGIN
	PERFORM muster.check_isolation(), muster.purge_history(),
		muster.purge_runs(), muster.sleepers_purge(),
		muster.purge_unique(p_limit), muster.purge_locks(p_limit);
	SELECT array_agg(h.ctid), array_agg(h.flow_id)
		FILTER (WHERE h.flow_id IS NOT NULL)
	INTO v_ctid, v_flows
	FROM (SELECT f.ctid, f.flow_id FROM muster.finished f
		WHERE f.at <= now() - v_keep ORDER BY f.at
		LIMIT greatest(p_limit / 200, 1) FOR UPDATE SKIP LOCKED) h;
	IF v_ctid IS NULL THEN
		RETURN 0;
	END IF;
	WITH gone AS (
		DELETE FROM muster.finished f WHERE f.ctid = ANY (v_ctid)
		RETURNING f.ids
	)
	SELECT array_agg(DISTINCT u.id ORDER BY u.id) INTO v_ids
	FROM gone g CROSS JOIN LATERAL unnest(g.ids) u(id);
	IF v_ids IS NOT NULL THEN
		v_done := muster.purge_plain(v_ids, p_queues, p_keep_ms, v_keep);
	END IF;
	FOREACH v_flow IN ARRAY coalesce(v_flows, '{}') LOOP
		v_done := v_done + muster.purge_flow(v_flow, p_limit, p_queues,
			p_keep_ms, v_keep);
	END LOOP;
	RETURN v_done;
END
$$;

-- Until when these tasks, as far as they have ended, are to be kept (null: for
-- ever), and whether something open needs them, or is about to look at them.
CREATE OR REPLACE FUNCTION muster.purge_due(
	p_ids bigint[], p_queues text[], p_keep_ms bigint[])
RETURNS TABLE (id bigint, until timestamptz, needed boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	v_placing CONSTANT bigint[] := ARRAY(SELECT unnest(n.ids[p.placed + 1 :])
		FROM muster.placing p
		CROSS JOIN LATERAL (SELECT x.ids FROM muster.needs x
			WHERE x.task_id = p.task_id OFFSET 0) n);
BEGIN
	RETURN QUERY
	SELECT t.id, t.finished_at + interval '1 ms' * p_keep_ms[coalesce(
			array_position(p_queues, r.queue),
			array_position(p_queues, ''))],
		EXISTS (SELECT FROM muster.remainder m WHERE m.task_id = t.id)
		OR (t.id IN (SELECT unnest(v_placing))) IS TRUE
		OR (t.has_dependents AND EXISTS (
			SELECT FROM muster.edge e
			CROSS JOIN LATERAL (SELECT FROM muster.task d
				WHERE d.id = e.task_id AND d.state IS NULL
				AND (d.flow_id = t.flow_id) IS NOT TRUE
				OFFSET 0) d
			WHERE e.need = t.id))
	FROM muster.task t
	CROSS JOIN LATERAL (SELECT x.queue FROM muster.route x
		WHERE x.id = t.route_id LIMIT 1) r
	WHERE t.id = ANY (p_ids) AND t.state IS NOT NULL;
END
$$;

-- Tasks of no flow. Those that must stay are noted again for later.
CREATE OR REPLACE FUNCTION muster.purge_plain(p_ids bigint[],
	p_queues text[], p_keep_ms bigint[], p_keep interval)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_gone bigint[];
	v_later bigint[];
	v_at timestamptz;
	v_removed bigint[];
BEGIN
	SELECT array_agg(d.id) FILTER (WHERE d.until <= now() AND NOT d.needed),
		array_agg(d.id) FILTER (WHERE (d.until <= now()
			AND NOT d.needed) IS NOT TRUE),
		min(greatest(coalesce(d.until, now() + interval '1 day'),
			now() + interval '10 min')) FILTER (
			WHERE (d.until <= now() AND NOT d.needed) IS NOT TRUE)
	INTO v_gone, v_later, v_at
	FROM muster.purge_due(p_ids, p_queues, p_keep_ms) d;
	v_removed := muster.purge_tasks(v_gone);
	v_later := v_later || muster.without(v_gone, v_removed);
	IF v_later <> '{}' THEN
		INSERT INTO muster.finished
		VALUES (coalesce(v_at, now()) - p_keep, NULL, v_later);
	END IF;
	RETURN cardinality(v_removed);
END
$$;

-- A finished flow, p_limit tasks at a time, when the last of them may go.
CREATE OR REPLACE FUNCTION muster.purge_flow(p_flow bigint, p_limit int,
	p_queues text[], p_keep_ms bigint[], p_keep interval)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_ids bigint[] := ARRAY(SELECT t.id FROM muster.task t
		WHERE t.flow_id = p_flow ORDER BY t.id LIMIT p_limit);
	v_until timestamptz;
	v_stays boolean;
	v_purging boolean;
	v_removed bigint[];
BEGIN
	SELECT f.purging INTO v_purging FROM muster.flow f
	WHERE f.id = p_flow AND f.finished_at IS NOT NULL
	FOR NO KEY UPDATE SKIP LOCKED;
	IF NOT FOUND THEN
		RETURN 0; -- runs again: it is noted when it ends
	END IF;
	IF NOT v_purging THEN
		SELECT max(d.until), bool_or(d.until IS NULL OR d.needed)
		INTO v_until, v_stays
		FROM muster.purge_due(ARRAY(SELECT t.id FROM muster.task t
			WHERE t.flow_id = p_flow), p_queues, p_keep_ms) d;
		IF v_stays OR v_until > now() THEN
			INSERT INTO muster.finished (at, flow_id)
			VALUES (greatest(v_until, now() + CASE WHEN v_until IS NULL
				THEN interval '1 day' ELSE interval '10 min' END)
				- p_keep, p_flow);
			RETURN 0;
		END IF;
		UPDATE muster.flow SET purging = true WHERE id = p_flow;
	END IF;
	v_removed := muster.purge_holding(v_ids, p_limit);
	IF v_removed IS NULL THEN
		v_removed := muster.purge_tasks(v_ids);
	END IF;
	IF cardinality(v_ids) < p_limit AND v_removed @> v_ids THEN
		DELETE FROM muster.flow WHERE id = p_flow;
	ELSE
		INSERT INTO muster.finished (at, flow_id)
		VALUES (now() - p_keep, p_flow);
	END IF;
	RETURN cardinality(v_removed);
END
$$;

-- The flows of the containers among p_ids go before these: up to about p_limit
-- of their tasks. Gives those; null if there is no such flow. One that runs
-- again, or of which something open needs a task, stays for now.
CREATE OR REPLACE FUNCTION muster.purge_holding(p_ids bigint[], p_limit int)
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	v_flow bigint;
	v_task bigint;
	v_ids bigint[];
	v_removed bigint[];
BEGIN
	SELECT p.flow_id, p.task_id INTO v_flow, v_task
	FROM muster.container_plan p
	WHERE p.task_id = ANY (p_ids) AND p.flow_id IS NOT NULL
	ORDER BY p.task_id LIMIT 1;
	IF v_flow IS NULL THEN
		RETURN NULL;
	END IF;
	UPDATE muster.flow f SET purging = true
	WHERE f.id = ANY (ARRAY(SELECT x.id FROM muster.flow x
		WHERE x.id = v_flow AND x.finished_at IS NOT NULL
		FOR NO KEY UPDATE SKIP LOCKED));
	IF NOT FOUND THEN
		RETURN '{}';
	END IF;
	v_ids := ARRAY(SELECT t.id FROM muster.task t
		WHERE t.flow_id = v_flow ORDER BY t.id LIMIT p_limit);
	IF EXISTS (SELECT FROM muster.purge_due(v_ids, '{}', '{}') d
			WHERE d.needed) THEN
		RETURN '{}';
	END IF;
	v_removed := muster.purge_holding(v_ids, p_limit);
	IF v_removed IS NULL THEN
		v_removed := muster.purge_tasks(v_ids);
	END IF;
	IF cardinality(v_ids) < p_limit AND v_removed @> v_ids THEN
		DELETE FROM muster.flow f WHERE f.id = v_flow;
		UPDATE muster.container_plan p SET flow_id = NULL
		WHERE p.task_id = v_task;
	END IF;
	RETURN v_removed;
END
$$;

-- Removes ended tasks and all that hangs on them; gives those it could lock.
CREATE OR REPLACE FUNCTION muster.purge_tasks(p_ids bigint[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	v_ids bigint[];
	v_need bigint[];
	v_dep bigint[];
	v_set bigint[];
BEGIN
	v_ids := ARRAY(SELECT t.id FROM muster.task t
		WHERE t.id = ANY (p_ids) AND t.state IS NOT NULL
		ORDER BY t.id FOR UPDATE SKIP LOCKED);
	-- What was retried and has ended again since the caller looked.
	v_ids := muster.without(v_ids, ARRAY(SELECT r.task_id
		FROM muster.remainder r WHERE r.task_id = ANY (v_ids)));
	-- The edges to those go with the needs that go, too; the others singly, those
	-- to a set with its last member.
	SELECT array_agg(u.need), array_agg(n.task_id), array_agg(m.set_id)
	INTO v_need, v_dep, v_set
	FROM muster.needs n
	CROSS JOIN LATERAL unnest(n.ids) u(need)
	CROSS JOIN LATERAL (SELECT t.set_id FROM muster.task t
		WHERE t.id = n.task_id OFFSET 0) m
	WHERE n.task_id = ANY (v_ids)
		AND (u.need IN (SELECT unnest(v_ids))) IS NOT TRUE;
	v_set := ARRAY(SELECT CASE WHEN muster.set_members(ARRAY[u.set]) <@ v_ids
			THEN u.set END
		FROM unnest(v_set) WITH ORDINALITY u(set, o) ORDER BY u.o);
	DELETE FROM muster.edge e WHERE e.ctid = ANY (ARRAY(
		SELECT x.at FROM unnest(v_need, v_dep, v_set) u(need, dep, set)
		CROSS JOIN LATERAL (SELECT y.ctid AS at FROM muster.edge y
			WHERE y.need = u.need AND y.task_id IN (u.dep, u.set)
			OFFSET 0) x));
	DELETE FROM muster.edge e WHERE e.need = ANY (v_ids);
	DELETE FROM muster.needs n WHERE n.task_id = ANY (v_ids);
	DELETE FROM muster.attempt a WHERE a.task_id = ANY (v_ids);
	DELETE FROM muster.container_plan p WHERE p.task_id = ANY (v_ids);
	DELETE FROM muster.map_page g WHERE g.task_id = ANY (v_ids);
	DELETE FROM muster.task t WHERE t.id = ANY (v_ids);
	RETURN v_ids;
END
$$;

-- One task on request. One that waits is cancelled first and, since its
-- dependents are told of that by unlock(), removed by a later call.
CREATE OR REPLACE FUNCTION muster.do_delete(
	p_request muster.request, p_alone boolean)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_id CONSTANT bigint := p_request.target;
	v_task muster.task;
	v_gone bigint[];
	v_told bigint[];
BEGIN
	SELECT * INTO v_task FROM muster.task t
	WHERE t.id = v_id FOR UPDATE SKIP LOCKED;
	IF NOT FOUND THEN
		IF EXISTS (SELECT FROM muster.task t WHERE t.id = v_id) THEN
			RETURN 0;
		END IF;
		RETURN muster.answer(p_request.id, 'refused',
			format('there is no task %s', v_id));
	ELSIF v_task.state IS NULL THEN
		SELECT c.o_gone, c.o_told INTO v_gone, v_told
		FROM muster.cancel_tasks(ARRAY[v_id],
			'deleted on request of ' || p_request.asked_by, p_alone) c;
		IF v_told IS NOT NULL THEN
			RETURN muster.answer(p_request.id, 'refused', format('task '
				'%s is running; its worker was told to cancel it: '
				'delete it when it has ended', v_id));
		ELSIF v_gone IS NULL THEN
			RETURN 0;
		END IF;
		v_task.state := 'c';
	END IF;
	IF NOT muster.set_drop(v_task.set_id, v_id)
			OR muster.purge_tasks(ARRAY[v_id]) = '{}' THEN
		RETURN 0; -- its dependents are still being told
	END IF;
	INSERT INTO muster.flow_delta
		(flow_id, total, succeeded, failed, cancelled, skipped, recount)
	SELECT f.id, -1, -(v_task.state = 's'
			AND (v_task.sole < 0) IS NOT TRUE)::int,
		-(v_task.state = 'f')::int, -(v_task.state = 'c')::int,
		-(v_task.state = 'k')::int, true
	FROM muster.flow f WHERE f.id = v_task.flow_id AND NOT f.purging;
	RETURN muster.answer(p_request.id, 'done',
		format('task %s is deleted', v_id));
END
$$;

-- Where the task is the last of its set (null: it is of none) nothing waits there
-- any more. False if somebody else holds the set's row.
CREATE OR REPLACE FUNCTION muster.set_drop(p_set bigint, p_id bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF p_set IS NULL OR muster.set_members(ARRAY[p_set]) <> ARRAY[p_id] THEN
		RETURN true;
	END IF;
	DELETE FROM muster.blocked b WHERE b.ctid = ANY (ARRAY(
		SELECT x.ctid FROM muster.blocked x WHERE x.task_id = p_set
		FOR UPDATE SKIP LOCKED));
	RETURN NOT EXISTS (SELECT FROM muster.blocked b
		WHERE b.task_id = p_set);
END
$$;

-- Answers that nobody fetched for a day, workers that are dead as long: one
-- that is absent is as good as dead to a worker that thaws.
CREATE OR REPLACE FUNCTION muster.purge_history()
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM muster.request r WHERE r.ctid = ANY (ARRAY(
		SELECT x.ctid FROM muster.request x
		WHERE x.done_at < now() - interval '1 day'
		ORDER BY x.done_at LIMIT 1000 FOR UPDATE SKIP LOCKED));
	DELETE FROM muster.worker w WHERE w.id = ANY (ARRAY(
		SELECT x.id FROM muster.worker x
		WHERE x.dead_at < now() - interval '1 day' AND NOT EXISTS (
			SELECT FROM muster.lease l WHERE l.worker_id = x.id)
		LIMIT 1000 FOR UPDATE SKIP LOCKED));
END
$$;
