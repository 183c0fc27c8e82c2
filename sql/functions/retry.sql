-- Bringing tasks back to life.

-- One task, as carry_out() does it.
CREATE OR REPLACE FUNCTION muster.do_retry(p_request muster.request)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_id CONSTANT bigint := p_request.target;
	v_all bigint[];
	v_got int;
	v_state "char";
	v_key text;
	v_holder bigint;
BEGIN
	v_all := ARRAY(SELECT DISTINCT u.id FROM unnest(v_id
		|| (SELECT n.ids FROM muster.needs n WHERE n.task_id = v_id))
		u(id));
	SELECT count(*), max(l.state::text) FILTER (WHERE l.id = v_id)
	INTO v_got, v_state
	FROM (SELECT t.id, t.state FROM muster.task t WHERE t.id = ANY (v_all)
		ORDER BY t.id FOR NO KEY UPDATE SKIP LOCKED) l;
	IF v_got < (SELECT count(*) FROM muster.task t
			WHERE t.id = ANY (v_all)) THEN
		RETURN 0;
	ELSIF NOT EXISTS (SELECT FROM muster.task t WHERE t.id = v_id) THEN
		RETURN muster.answer(p_request.id, 'refused',
			format('there is no task %s', v_id));
	ELSIF v_state IS NULL THEN
		RETURN muster.answer(p_request.id, 'refused',
			format('task %s has not ended: it is %s', v_id,
				(SELECT s.state FROM muster.task_status s
				WHERE s.id = v_id)));
	ELSIF v_state = 's' THEN
		RETURN muster.answer(p_request.id, 'refused',
			format('task %s has succeeded: there is nothing to retry',
				v_id));
	ELSIF EXISTS (SELECT FROM muster.remainder r WHERE r.task_id = v_id) THEN
		RETURN 0; -- its dependents are still being told of its end
	END IF;
	SELECT t.unique_key INTO v_key FROM muster.task t
	WHERE t.id = v_id AND t.unique_key IS NOT NULL;
	IF FOUND THEN
		v_holder := muster.unique_retake(v_id, v_key, NULL);
		IF v_holder IS NULL THEN
			RETURN 0;
		ELSIF v_holder <> v_id THEN
			RETURN muster.answer(p_request.id, 'refused', format('task '
				'%s stays %s: its unique key %s is held by task %s',
				v_id, muster.state_name(v_state), to_json(v_key),
				v_holder));
		END IF;
	END IF;
	IF muster.reopen(ARRAY[v_id], NULL) IS NULL THEN
		RETURN muster.answer(p_request.id, 'done',
			format('task %s runs again', v_id));
	END IF;
	RETURN muster.retry_later(p_request.id, v_id, v_state);
END
$$;

-- A need of the task is not met. If that need runs again, the task comes back
-- with it: it counts as skipped until then. Answers the request.
CREATE OR REPLACE FUNCTION muster.retry_later(
	p_request bigint, p_id bigint, p_state "char")
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_need bigint;
	v_outcome "char";
	v_open boolean;
BEGIN
	SELECT n.need, n.outcome, EXISTS (SELECT FROM muster.task t
			WHERE t.id = n.need AND t.state IS NULL) AS open
	INTO v_need, v_outcome, v_open
	FROM muster.place_needs(ARRAY[p_id], NULL) n
	WHERE NOT muster.edge_met(n.cond, n.outcome)
	ORDER BY open LIMIT 1;
	IF NOT v_open THEN
		RETURN muster.answer(p_request, 'refused',
			format('task %s stays %s: it needs task %s, which %s; '
			'retry that first', p_id, muster.state_name(p_state), v_need,
			coalesce(muster.state_name(v_outcome), 'does not exist')));
	END IF;
	PERFORM muster.flow_uncount(ARRAY[p_id]);
	UPDATE muster.task t SET state = 'k', error = format(
		'needs task %s, which runs again', v_need) WHERE t.id = p_id;
	INSERT INTO muster.flow_delta (flow_id, skipped)
	SELECT t.flow_id, 1 FROM muster.task t
	WHERE t.id = p_id AND t.flow_id IS NOT NULL;
	RETURN muster.answer(p_request, 'done',
		format('task %s comes back when task %s, which runs again, '
		'meets its need', p_id, v_need));
END
$$;

-- Opens ended tasks (ascending, locked with their needs) again, in a new life
-- with all its attempts, wherever their needs let them stand; gives those that
-- have a need that is not met, which stay as they are. So do those whose unique
-- key another task holds.
CREATE OR REPLACE FUNCTION muster.reopen(p_ids bigint[], p_done bigint)
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	v_ids bigint[] := muster.unique_reopen(p_ids);
	v_unmet bigint[] := muster.place(v_ids, NULL, p_done);
BEGIN
	IF v_unmet IS NOT NULL THEN
		PERFORM muster.unique_free(v_unmet);
		v_ids := muster.without(v_ids, v_unmet);
	END IF;
	PERFORM muster.flow_uncount(v_ids);
	UPDATE muster.task t SET state = NULL, life = t.life + 1,
		settled = CASE WHEN t.has_dependents THEN t.state END,
		finished_at = NULL, attempts = 0, snoozes = 0, rescues = 0,
		ran_ms = NULL, worker_id = NULL, result = NULL, error = NULL
	WHERE t.id = ANY (v_ids);
	RETURN v_unmet;
END
$$;

-- These ended tasks count no more as ended in their flows, which go on.
CREATE OR REPLACE FUNCTION muster.flow_uncount(p_ids bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO muster.flow_delta (flow_id, failed, cancelled, skipped)
	SELECT t.flow_id, -count(*) FILTER (WHERE t.state = 'f'),
		-count(*) FILTER (WHERE t.state = 'c'),
		-count(*) FILTER (WHERE t.state = 'k')
	FROM muster.task t
	WHERE t.id = ANY (p_ids) AND t.flow_id IS NOT NULL
	GROUP BY t.flow_id;
	IF FOUND THEN
		UPDATE muster.flow f SET stopped = false
		WHERE f.stopped AND f.id = ANY (ARRAY(SELECT t.flow_id
			FROM muster.task t WHERE t.id = ANY (p_ids)));
	END IF;
END
$$;
