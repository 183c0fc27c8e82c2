-- Bringing tasks back to life.

-- One task, as carry_out() does it.
CREATE OR REPLACE FUNCTION muster.do_retry(p_request muster.request)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_id CONSTANT bigint := p_request.target;
	v_all CONSTANT bigint[] := muster.with_needs(ARRAY[v_id]);
	v_many CONSTANT boolean := muster.with_many(ARRAY[v_id]) <> '{}';
	v_got int;
	v_state "char";
	v_key text;
	v_holder bigint;
	v_need bigint;
BEGIN
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
	ELSIF v_many AND NOT muster.retry_looked(p_request) THEN
		RETURN 1;
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
	IF (muster.bring_back(ARRAY[v_id])).o_again = '{}' THEN
		RETURN muster.answer(p_request.id, 'refused',
			muster.retry_refusal(v_id, v_state));
	ELSIF v_many THEN
		RETURN muster.answer(p_request.id, 'done', format('task %s comes back '
			'when its needs, which are looked at again, are met', v_id));
	END IF;
	SELECT n.need INTO v_need
	FROM muster.place_needs(ARRAY[v_id], NULL) n
	WHERE n.outcome IS NULL AND EXISTS (SELECT FROM muster.blocked b
		WHERE b.task_id = v_id) LIMIT 1;
	RETURN muster.answer(p_request.id, 'done', CASE WHEN FOUND
		THEN format('task %s comes back when task %s, which has not ended, '
			'meets its need', v_id, v_need)
		ELSE format('task %s runs again', v_id) END);
END
$$;

-- Why a task can't run again: the first need that ended otherwise.
CREATE OR REPLACE FUNCTION muster.retry_refusal(p_id bigint, p_state "char")
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT muster.retry_refused(p_id, p_state, n.need, n.outcome)
		FROM muster.place_needs(ARRAY[p_id], NULL) n
		WHERE n.outcome IS NOT NULL
			AND NOT muster.edge_met(n.cond, n.outcome) LIMIT 1);
END
$$;

CREATE OR REPLACE FUNCTION muster.retry_refused(
	p_id bigint, p_state "char", p_need bigint, p_outcome "char")
RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT format('task %s stays %s: it needs task %s, which %s; '
		'retry that first', p_id, muster.state_name(p_state), p_need,
		coalesce(muster.state_name(p_outcome), 'does not exist'))
$$;

-- What is to be locked, in order, to bring these tasks back: they and their needs,
-- so that none of these ends meanwhile, but for those of many.
CREATE OR REPLACE FUNCTION muster.with_needs(p_ids bigint[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
BEGIN
	RETURN p_ids || ARRAY(SELECT unnest(n.ids) FROM muster.needs n
		WHERE n.task_id = ANY (p_ids)
			AND cardinality(n.ids) <= muster.needs_at_once());
END
$$;

-- Ended tasks (ascending, locked as above) are open again, in a new life with all its
-- attempts: those that have their unique keys again (o_keyed) and, so far as can be
-- seen, can run (o_again): each need has ended well enough, or is open, or comes back,
-- too. Those of many needs begin to wait, and find out by pieces. The others of
-- o_keyed stay as they are, or (p_skip) are skipped by that.
CREATE OR REPLACE FUNCTION muster.bring_back(
	p_ids bigint[], p_skip boolean DEFAULT false,
	OUT o_again bigint[], OUT o_keyed bigint[])
LANGUAGE plpgsql AS $$
DECLARE
	v_many bigint[];
	v_few bigint[];
	v_unmet bigint[];
BEGIN
	o_keyed := muster.unique_reopen(p_ids);
	v_many := muster.with_many(o_keyed);
	o_again := muster.retry_choose(o_keyed, v_many);
	v_few := muster.without(o_again, v_many);
	IF o_again <> o_keyed THEN
		v_unmet := muster.without(o_keyed, o_again);
		PERFORM muster.unique_free(v_unmet);
		v_unmet := ARRAY(SELECT t.id FROM muster.task t
			WHERE p_skip AND t.id = ANY (v_unmet) AND t.state <> 'k');
		IF v_unmet <> '{}' THEN
			PERFORM muster.new_life(v_unmet);
			PERFORM muster.skip_later(v_unmet);
		END IF;
	END IF;
	IF v_few <> '{}' THEN
		PERFORM muster.place(v_few, NULL, o_again);
	END IF;
	IF o_again <> '{}' THEN
		PERFORM muster.new_life(o_again);
	END IF;
	IF v_many <> '{}' THEN
		PERFORM muster.place_begin(v_many, NULL);
	END IF;
END
$$;

-- These ended tasks are open again; the caller gives them a place.
CREATE OR REPLACE FUNCTION muster.new_life(p_ids bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM muster.flow_uncount(p_ids);
	UPDATE muster.task t SET state = NULL, life = t.life + 1,
		settled = CASE WHEN t.has_dependents THEN t.state END,
		finished_at = NULL, attempts = 0, snoozes = 0, rescues = 0,
		ran_ms = NULL, worker_id = NULL, result = NULL, error = NULL
	WHERE t.id = ANY (p_ids);
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
		UPDATE muster.flow f SET stopped = false, state = 'running',
			finished_at = NULL, error = NULL
		WHERE (f.stopped OR f.finished_at IS NOT NULL) AND f.id = ANY (ARRAY(SELECT t.flow_id
			FROM muster.task t WHERE t.id = ANY (p_ids)));
	END IF;
END
$$;

-- A flow: what failed, what was skipped for that and, if the flow was stopped,
-- what that cancelled. In the order of the ids, in which each task comes after
-- its needs, about p_limit tasks at a time from request.cursor on. What has run
-- again since it began (request.at) is passed over. What was skipped has not run,
-- whenever that was: revive() leaves it to this walk.
CREATE OR REPLACE FUNCTION muster.do_retry_flow(
	p_request muster.request, p_limit int)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_flow CONSTANT bigint := p_request.target;
	v_cancelled boolean := p_request.cancelled_too;
	v_since timestamptz := p_request.at;
	v_refusal text;
	v_last bigint;
	v_ids bigint[];
	v_again int := 0;
BEGIN
	IF NOT muster.walk_hold(p_request.id) THEN
		RETURN 0;
	ELSIF v_cancelled IS NULL THEN
		v_since := clock_timestamp();
		IF EXISTS (SELECT FROM muster.request r WHERE r.done_at IS NULL
				AND r.target = v_flow
				AND r.verb IN ('stop_flow', 'cancel_flow')) THEN
			RETURN 0;
		END IF;
		SELECT o_refusal, o_stopped INTO v_refusal, v_cancelled
		FROM muster.retry_flow_check(v_flow);
		IF v_refusal IS NOT NULL THEN
			RETURN muster.answer(p_request.id, 'refused', v_refusal);
		END IF;
	ELSIF EXISTS (SELECT FROM muster.flow f
			WHERE f.id = v_flow AND f.stopped) THEN
		RETURN muster.retry_flow_end(p_request.id,
			', and then it was stopped again');
	END IF;
	SELECT max(t.id), array_agg(t.id ORDER BY t.id) FILTER (
			WHERE t.state = 'k' OR t.finished_at < v_since
			AND (t.state = 'f' OR t.state = 'c' AND v_cancelled))
	INTO v_last, v_ids
	FROM (SELECT x.id, x.state, x.finished_at FROM muster.task x
		WHERE x.flow_id = v_flow AND x.id > p_request.cursor
		ORDER BY x.id LIMIT p_limit) t;
	IF v_last IS NULL THEN
		RETURN muster.retry_flow_end(p_request.id, '');
	END IF;
	IF v_ids IS NOT NULL THEN
		v_again := muster.reopen_all(v_ids);
		IF v_again IS NULL THEN
			RETURN 0;
		END IF;
	END IF;
	UPDATE muster.request SET cursor = v_last, cancelled_too = v_cancelled,
		at = v_since, count = count + v_again
	WHERE id = p_request.id;
	UPDATE muster.flow f SET stopped = false
	WHERE f.id = v_flow AND f.stopped AND p_request.cancelled_too IS NULL;
	RETURN p_limit;
END
$$;

-- Holds a request that walks through a flow to bring tasks back, so that revive()
-- waits until it is seen how far the walk has come; not if revive() holds it.
CREATE OR REPLACE FUNCTION muster.walk_hold(p_request bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	PERFORM FROM muster.request r WHERE r.id = p_request
	FOR UPDATE SKIP LOCKED;
	RETURN FOUND;
END
$$;

-- Opens these ended tasks (ascending), which in their flow follow those that were
-- met before, again; those whose needs do not let them run are skipped by that, but
-- what has lost its unique key stays as it is. How many run again; null if others
-- hold one of them, or a need, or if one's dependents are still being told of its
-- end: nothing was done then.
CREATE OR REPLACE FUNCTION muster.reopen_all(p_ids bigint[])
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_all CONSTANT bigint[] := muster.with_needs(p_ids);
BEGIN
	IF (SELECT count(*) FROM muster.task t WHERE t.id = ANY (v_all))
			> (SELECT count(*) FROM (SELECT FROM muster.task t
				WHERE t.id = ANY (v_all)
				ORDER BY t.id FOR NO KEY UPDATE SKIP LOCKED) l)
			OR EXISTS (SELECT FROM muster.remainder r
				WHERE r.task_id = ANY (p_ids)) THEN
		RETURN NULL;
	END IF;
	RETURN cardinality(b.o_again) FROM muster.bring_back(ARRAY(
		SELECT t.id FROM muster.task t WHERE t.id = ANY (p_ids)
			AND t.state IS NOT NULL AND t.state <> 's' ORDER BY t.id),
		true) b;
END
$$;

-- What keeps the flow from being retried; whether it was stopped.
CREATE OR REPLACE FUNCTION muster.retry_flow_check(
	p_flow bigint, OUT o_refusal text, OUT o_stopped boolean)
LANGUAGE plpgsql AS $$
DECLARE
	v_flow muster.flow;
BEGIN
	SELECT * INTO v_flow FROM muster.flow f WHERE f.id = p_flow;
	o_stopped := v_flow.stopped;
	o_refusal := CASE
		WHEN NOT FOUND THEN format('there is no flow %s', p_flow)
		WHEN v_flow.purging THEN format('flow %s is too old: some of its '
			'tasks are gone', p_flow)
		WHEN v_flow.stopped AND v_flow.finished_at IS NULL
		THEN format('flow %s is still being cancelled: retry it when it '
			'has ended', p_flow) END;
END
$$;

-- Of ended tasks (ascending, locked with their needs but for p_many) those that can
-- run again together; p_many are taken to.
CREATE OR REPLACE FUNCTION muster.retry_choose(p_ids bigint[], p_many bigint[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	v_can boolean[] := array_fill(true, ARRAY[cardinality(p_ids)]);
	v_at int;
	v_spare int;
	v_need record;
BEGIN
	FOR v_need IN
		SELECT width_bucket(n.task_id, p_ids) AS at,
			count(*) OVER w - coalesce(n.wanted, count(*) OVER w) AS spare,
			n.cond, n.outcome, CASE WHEN p_ids[width_bucket(n.need,
				p_ids)] = n.need THEN width_bucket(n.need, p_ids)
				END AS need_at
		FROM muster.place_needs(muster.without(p_ids, p_many), NULL) n
		WINDOW w AS (PARTITION BY n.task_id)
		ORDER BY n.task_id
	LOOP
		IF v_at IS DISTINCT FROM v_need.at THEN
			v_at := v_need.at;
			v_spare := v_need.spare;
		END IF;
		CONTINUE WHEN v_need.outcome IS NULL OR v_can[v_need.need_at]
			OR muster.edge_met(v_need.cond, v_need.outcome);
		v_spare := v_spare - 1;
		v_can[v_at] := v_spare >= 0;
	END LOOP;
	RETURN ARRAY(SELECT u.id FROM unnest(p_ids, v_can) u(id, can)
		WHERE u.can ORDER BY u.id);
END
$$;

-- All tasks of the flow have been met.
CREATE OR REPLACE FUNCTION muster.retry_flow_end(
	p_request bigint, p_more text)
RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT muster.answer(r.id,
		CASE WHEN r.count > 0 THEN 'done' ELSE 'refused' END,
		format(CASE WHEN r.count > 0
			THEN 'flow %s: %s tasks that had not succeeded run again%s'
			ELSE 'flow %1$s: nothing of it failed%3$s' END,
			r.target, r.count, p_more))
		FROM muster.request r WHERE r.id = p_request);
END
$$;
