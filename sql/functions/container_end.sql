-- Containers: how they end, are cancelled and come back.

-- The container, locked by the caller and with its place, ends so. Its edges are
-- left to unlock(): the caller holds flows.
CREATE OR REPLACE FUNCTION muster.container_end(
	p_task bigint, p_state "char", p_result jsonb, p_error text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM muster.container c WHERE c.task_id = p_task;
	UPDATE muster.task t SET state = p_state, finished_at = now(),
		attempts = t.attempts + (p_state <> 'c')::int,
		result = p_result, error = p_error
	WHERE t.id = p_task;
	PERFORM muster.settle_final(ARRAY[p_task], true);
END
$$;

-- Those of these flows, locked by the caller, that may end now: whose container,
-- if they have one, can be locked at once, and that are not being brought back.
CREATE OR REPLACE FUNCTION muster.container_hold(p_flows bigint[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	v_parents bigint[] := ARRAY(SELECT f.parent_task FROM muster.flow f
		WHERE f.id = ANY (p_flows) AND f.parent_task IS NOT NULL);
	v_held bigint[];
BEGIN
	IF v_parents = '{}' THEN
		RETURN p_flows;
	END IF;
	v_held := ARRAY(SELECT t.id FROM muster.task t
		WHERE t.id = ANY (v_parents)
		ORDER BY t.id FOR NO KEY UPDATE SKIP LOCKED);
	RETURN (SELECT array_agg(f.id ORDER BY f.id) FROM muster.flow f
		WHERE f.id = ANY (p_flows) AND (f.parent_task IS NULL
			OR f.parent_task = ANY (v_held) AND NOT EXISTS (
				SELECT FROM muster.request r
				WHERE r.done_at IS NULL AND r.verb = 'reopen'
				AND r.target = f.id)));
END
$$;

-- These flows, held as above, have ended, and with them their containers.
CREATE OR REPLACE FUNCTION muster.container_ended(p_flows bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_end record;
BEGIN
	FOR v_end IN
		SELECT c.task_id, c.cancelled, f.state, f.error, f.failed, f.total,
			f.id AS flow_id
		FROM muster.flow f
		CROSS JOIN LATERAL (SELECT x.task_id, x.cancelled
			FROM muster.container x WHERE x.task_id = f.parent_task
			AND x.flow_id = f.id OFFSET 0) c
		WHERE f.id = ANY (p_flows) ORDER BY c.task_id
	LOOP
		IF v_end.state = 'succeeded' THEN
			PERFORM muster.container_end(v_end.task_id, 's',
				muster.container_result(v_end.task_id), NULL);
		ELSIF v_end.state = 'failed' AND v_end.cancelled IS NULL THEN
			PERFORM muster.container_end(v_end.task_id, 'f', NULL,
				format('%s of %s failed: %s', v_end.failed,
					v_end.total, v_end.error));
		ELSE
			PERFORM muster.container_end(v_end.task_id, 'c', NULL,
				coalesce(v_end.cancelled, format(
					'its flow %s was cancelled', v_end.flow_id)));
		END IF;
	END LOOP;
END
$$;

-- Whether a map of this flow was stopped before all of it was created.
CREATE OR REPLACE FUNCTION muster.container_cut(p_parent bigint)
RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
	RETURN EXISTS (SELECT FROM muster.container_plan p
		WHERE p.task_id = p_parent AND p.created < p.total);
END
$$;

-- What its tasks gave: of a map the results in order, one a task; of a nested
-- flow {step: result} of the steps on which none depends. What comes to more
-- than 1 MiB, or is of more than 100,000 tasks, is left where it is; most of it
-- without being put together first.
CREATE OR REPLACE FUNCTION muster.container_result(p_task bigint)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	v_plan muster.container_plan;
	v_result jsonb;
BEGIN
	SELECT * INTO v_plan FROM muster.container_plan p
	WHERE p.task_id = p_task;
	IF v_plan.spec IS NOT NULL THEN
		SELECT CASE WHEN coalesce(sum(pg_column_size(t.result)), 0)
				<= 16777216
			THEN coalesce(jsonb_object_agg(t.name, t.result),
				'{}') END
		INTO v_result FROM muster.task t
		WHERE t.flow_id = v_plan.flow_id AND t.name IS NOT NULL
			AND t.state = 's' AND NOT t.has_dependents;
	ELSIF v_plan.total <= 100000 AND 16777216 >= (
			SELECT coalesce(sum(pg_column_size(t.result)), 0)
			FROM muster.task t WHERE t.flow_id = v_plan.flow_id) THEN
		SELECT jsonb_agg(t.result ORDER BY t.id) INTO v_result
		FROM muster.task t
		WHERE t.flow_id = v_plan.flow_id AND t.name IS NOT NULL;
	END IF;
	IF octet_length(v_result::text) <= 1048576 THEN
		RETURN v_result;
	END IF;
	RETURN jsonb_build_object('gathered', false, 'tasks', v_plan.total,
		'flow', v_plan.flow_id::text, 'see', CASE
		WHEN v_plan.spec IS NULL THEN format(
			'SELECT * FROM muster.map_items WHERE map_id = %s', p_task)
		ELSE format('SELECT * FROM muster.task_status '
			'WHERE flow_id = %s', v_plan.flow_id) END);
END
$$;

-- Cancelling: those of p_ids, locked for update, whose flows run. These are to
-- be cancelled, for the same reason, and the containers end with them.
CREATE OR REPLACE FUNCTION muster.container_cancel(p_ids bigint[], p_error text)
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	v_ids bigint[] := ARRAY(SELECT c.task_id FROM muster.container c
		WHERE c.task_id = ANY (p_ids) AND c.flow_id IS NOT NULL);
BEGIN
	IF v_ids = '{}' THEN
		RETURN NULL;
	END IF;
	WITH told AS (
		UPDATE muster.container c SET cancelled = p_error
		WHERE c.task_id = ANY (v_ids) AND c.cancelled IS NULL
		RETURNING c.flow_id
	)
	INSERT INTO muster.request (verb, target)
	SELECT 'cancel_flow', t.flow_id FROM told t;
	PERFORM muster.announce_work();
	RETURN v_ids;
END
$$;

-- Why the tasks of this flow are cancelled, if its container was; else null.
CREATE OR REPLACE FUNCTION muster.container_cause(p_flow bigint)
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT c.cancelled FROM muster.container c
		WHERE c.task_id = (SELECT f.parent_task FROM muster.flow f
			WHERE f.id = p_flow));
END
$$;

-- Brings back what failed, was cancelled or skipped in a container's flow, a piece
-- at a time in the order of the ids, unless it is stopped again: what had ended when
-- that was asked for, not what has meanwhile run again, as do_retry_flow() does it.
-- Of a map no more at a time than may be open.
CREATE OR REPLACE FUNCTION muster.container_reopen(
	p_request muster.request, p_limit int)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_flow CONSTANT bigint := p_request.target;
	v_plan muster.container_plan;
	v_most int := p_limit;
	v_seen bigint[];
	v_ids bigint[];
	v_again int := 0;
	v_last bigint;
BEGIN
	IF NOT muster.walk_hold(p_request.id) THEN
		RETURN 0;
	END IF;
	SELECT * INTO v_plan FROM muster.container_plan p WHERE p.task_id = (
		SELECT f.parent_task FROM muster.flow f WHERE f.id = v_flow);
	IF v_plan.max_running IS NOT NULL THEN
		v_most := least(v_most, muster.map_room(v_plan));
	END IF;
	IF NOT muster.container_stopped(v_plan.task_id) THEN
		IF v_most <= 0 THEN
			RETURN 0;
		END IF;
		v_seen := ARRAY(SELECT t.id FROM muster.task t
			WHERE t.flow_id = v_flow AND t.id > p_request.cursor
			ORDER BY t.id LIMIT 5000);
		v_ids := ARRAY(SELECT t.id FROM muster.task t
			WHERE t.id = ANY (v_seen) AND (t.state = 'k'
				OR t.state IN ('f', 'c')
				AND t.finished_at < p_request.at)
			ORDER BY t.id LIMIT v_most);
		v_last := CASE WHEN cardinality(v_ids) = v_most
				THEN v_ids[v_most]
			WHEN cardinality(v_seen) = 5000 THEN v_seen[5000] END;
	END IF;
	IF v_ids <> '{}' THEN
		v_again := muster.reopen_all(v_ids);
		IF v_again IS NULL THEN
			RETURN 0;
		END IF;
	END IF;
	UPDATE muster.request SET cursor = coalesce(v_last, cursor),
		count = count + v_again
	WHERE id = p_request.id;
	IF v_last IS NOT NULL THEN
		RETURN greatest(cardinality(v_ids), 1);
	END IF;
	INSERT INTO muster.flow_delta (flow_id) VALUES (v_flow); -- to be looked at
	RETURN muster.answer(p_request.id, 'done', format(
		'flow %s: %s tasks run again', v_flow, (SELECT r.count
			FROM muster.request r WHERE r.id = p_request.id)));
END
$$;

-- Whether the flow of this container is to end, by a cancel or a failure.
CREATE OR REPLACE FUNCTION muster.container_stopped(p_task bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT c.cancelled IS NOT NULL OR f.stopped
		FROM muster.container c
		CROSS JOIN LATERAL (SELECT x.stopped FROM muster.flow x
			WHERE x.id = c.flow_id OFFSET 0) f
		WHERE c.task_id = p_task);
END
$$;
