-- Containers: steps of a flow that are a flow themselves, a map over a list or
-- a nested flow. What of them is checked and stored when a flow is submitted.

-- Refuses what is wrong with the containers among these steps; p_depth is that
-- of their flow, 1 for one that is in no other.
CREATE OR REPLACE FUNCTION muster.container_check(
	p_name text[], p_spec jsonb[], p_depth int)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_name text;
	v_spec jsonb;
	v_fault text;
BEGIN
	FOR v_name, v_spec IN SELECT u.n, u.s
			FROM unnest(p_name, p_spec) u(n, s)
			WHERE u.s ?| '{map,chunk,flow}' LOOP
		v_fault := CASE WHEN v_spec ? 'flow'
			THEN muster.nested_fault(v_spec)
			ELSE muster.map_fault(v_spec) END;
		IF v_fault IS NOT NULL THEN
			PERFORM muster.flow_refuse(v_name, v_fault);
		ELSIF v_spec ? 'flow' THEN
			PERFORM muster.nested_check(v_name, v_spec -> 'flow',
				p_depth + 1);
		END IF;
	END LOOP;
END
$$;

-- What is wrong with a step that is a nested flow, but for the flow itself.
CREATE OR REPLACE FUNCTION muster.nested_fault(p_spec jsonb)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_key text;
BEGIN
	SELECT k INTO v_key FROM jsonb_object_keys(p_spec) k
	WHERE k IN ('kind', 'queue', 'payload', 'max_attempts', 'timeout',
		'map', 'chunk') LIMIT 1;
	RETURN 'has flow and ' || v_key
		|| ': a nested flow leaves that to its tasks';
END
$$;

-- The nested flow of this step.
CREATE OR REPLACE FUNCTION muster.nested_check(
	p_step text, p_flow jsonb, p_depth int)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_name text[];
	v_spec jsonb[];
BEGIN
	PERFORM muster.flow_check(p_flow);
	SELECT s.o_name, s.o_spec INTO v_name, v_spec
	FROM muster.flow_steps(p_flow -> 'tasks') s;
	IF p_depth > 16 THEN
		PERFORM muster.flow_refuse(NULL,
			'flows may be nested 16 deep, no deeper');
	ELSIF cardinality(v_name) > 10000 THEN
		PERFORM muster.flow_refuse(NULL, format('a nested flow has at '
			'most 10000 tasks, not %s', cardinality(v_name)));
	END IF;
	PERFORM muster.flow_check_steps(v_name, v_spec),
		muster.container_check(v_name, v_spec, p_depth);
	PERFORM muster.check_name('kind', coalesce(u.s ->> 'kind', 'flow')),
		muster.check_name('queue', coalesce(u.s ->> 'queue', 'default'))
	FROM unnest(v_spec) u(s);
	PERFORM muster.flow_paths(v_name, n.o_dep, n.o_need,
		array_fill(1::float8, ARRAY[cardinality(v_name)]))
	FROM muster.flow_needs(v_name, v_spec) n;
EXCEPTION WHEN SQLSTATE 'MU003' THEN
	PERFORM muster.flow_refuse(p_step, SQLERRM);
END
$$;

-- flow_unique() for a nested flow. The scheduler waits for no client that has just
-- taken one of the keys: lock_not_available.
CREATE OR REPLACE FUNCTION muster.nested_unique(
	p_id bigint[], p_name text[], p_step jsonb[])
RETURNS void LANGUAGE plpgsql SET lock_timeout = '1ms' AS $$
BEGIN
	PERFORM muster.flow_unique(p_id, p_name, p_step);
END
$$;

-- What is wrong with a map.
CREATE OR REPLACE FUNCTION muster.map_fault(p_spec jsonb)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_map jsonb := p_spec -> 'map';
	v_key text;
BEGIN
	IF v_map IS NULL THEN
		RETURN 'has a chunk and no map';
	ELSIF NOT p_spec ? 'kind' THEN
		RETURN 'has no kind';
	ELSIF jsonb_typeof(coalesce(p_spec -> 'payload', '{}')) <> 'object' THEN
		RETURN 'payload: must be an object, to which the item is added';
	ELSIF muster.whole(p_spec -> 'chunk', 1, 10000) IS FALSE THEN
		RETURN 'chunk: must be a whole number between 1 and 10000';
	ELSIF jsonb_typeof(v_map) = 'array' THEN
		RETURN NULL;
	ELSIF jsonb_typeof(v_map) <> 'object' THEN
		RETURN 'map: must be a list or {"from": NEED}';
	END IF;
	SELECT k INTO v_key FROM jsonb_object_keys(v_map) k
	WHERE k NOT IN ('from', 'over', 'max_running', 'on_failure') LIMIT 1;
	IF FOUND THEN
		RETURN format('map: unknown key %s: a map has from or over, '
			'max_running, on_failure', to_json(v_key));
	ELSIF v_map ? 'from' = v_map ? 'over' THEN
		RETURN 'map: must have either from or over';
	ELSIF jsonb_typeof(v_map -> 'over') <> 'array' THEN
		RETURN 'map: over must be a list';
	ELSIF muster.whole(v_map -> 'max_running', 1, 1000000) IS FALSE THEN
		RETURN 'map: max_running must be a whole number between 1 and '
			'1000000';
	ELSIF coalesce(v_map ->> 'on_failure', 'continue')
			NOT IN ('cancel', 'continue') THEN
		RETURN 'map: on_failure must be cancel or continue';
	ELSIF v_map ? 'from' AND NOT EXISTS (
			SELECT FROM jsonb_array_elements(p_spec -> 'needs') n
			WHERE v_map -> 'from' = CASE jsonb_typeof(n)
				WHEN 'object' THEN n -> 'task' ELSE n END) THEN
		RETURN format('map: from %s, which is not among its needs',
			v_map -> 'from');
	END IF;
	RETURN NULL;
END
$$;

-- Whether it is a whole number in this range; null for null.
CREATE OR REPLACE FUNCTION muster.whole(p_value jsonb, p_least int, p_most int)
RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS $$
	SELECT CASE WHEN jsonb_typeof(p_value) = 'number'
			AND p_value::text ~ '^\d{1,9}$'
		THEN p_value::text::int BETWEEN p_least AND p_most
		ELSE false END
$$;

-- The plans of the containers among these steps, whose task rows stand.
CREATE OR REPLACE FUNCTION muster.container_store(
	p_id bigint[], p_name text[], p_step jsonb[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_id bigint;
	v_name text;
	v_step jsonb;
	v_map jsonb;
BEGIN
	FOR v_id, v_name, v_step IN SELECT u.id, u.name, u.s
			FROM unnest(p_id, p_name, p_step) u(id, name, s)
			WHERE u.s ?| '{map,flow}' LOOP
		IF v_step ? 'flow' THEN
			INSERT INTO muster.container_plan (task_id, spec)
			VALUES (v_id, jsonb_build_object('flow', v_name)
				|| (v_step -> 'flow'));
			CONTINUE;
		END IF;
		v_map := v_step -> 'map';
		IF jsonb_typeof(v_map) = 'array' THEN
			v_map := jsonb_build_object('over', v_map);
		END IF;
		INSERT INTO muster.container_plan (task_id, from_task, items,
			chunk, max_running, route_id, fail_fast)
		VALUES (v_id, p_id[array_position(p_name, v_map ->> 'from')],
			jsonb_array_length(v_map -> 'over'),
			(v_step ->> 'chunk')::int,
			(v_map ->> 'max_running')::int,
			muster.route_of(coalesce(v_step ->> 'queue', 'default'),
				v_step ->> 'kind'),
			coalesce(v_map ->> 'on_failure', '') = 'cancel');
		IF v_map ? 'over' THEN
			PERFORM muster.check_payload(max(octet_length(e::text)))
			FROM jsonb_array_elements(v_map -> 'over') e;
			PERFORM muster.map_keep(v_id, v_map -> 'over', 0,
				jsonb_array_length(v_map -> 'over'));
		END IF;
	END LOOP;
END
$$;

-- Keeps p_count items of the list, from number p_from on, as pages of 200.
CREATE OR REPLACE FUNCTION muster.map_keep(
	p_task bigint, p_list jsonb, p_from int, p_count int)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO muster.map_page
	SELECT p_task, i / 200, array_agg(p_list -> i ORDER BY i)
	FROM generate_series(p_from, p_from + p_count - 1) i GROUP BY i / 200;
	UPDATE muster.container_plan SET paged = p_from + p_count
	WHERE task_id = p_task;
END
$$;
