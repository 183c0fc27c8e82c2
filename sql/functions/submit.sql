-- Submitting a flow that is closed in itself: everything goes straight to its
-- place, in the client's transaction, by inserts alone. It is worked on in
-- arrays, a step of the flow an index, so that 100,000 steps are a matter of
-- seconds. `enable_nestloop = off`: the planner knows nothing of the lengths of
-- arrays, and hashing is never far from the best.

-- {"flow": name, "on_failure": "cancel"|"continue", "tasks": {name: {"kind": …,
-- "payload": …, "queue": …, "priority": …, "max_attempts": …, "timeout": "30s",
-- "run_at": …, "expect": "2s", "needs": ["a", {"task": "b", "when": "finished"}],
-- "needs_mode": "all"|"any"|{"at_least": 2}, "unique_key": …, "lock": key or
-- {"key": …, "limit": 2}}}}. A step with "map" and "chunk" is a
-- map, one with "flow" a nested flow (container.sql). `tasks` may also be a list of
-- objects that have a "name": then their
-- order is kept, and a name that stands there twice is found. Gives the flow's
-- id; raises MU003 with the name of the step that is wrong, MU006 with that of a
-- step whose unique key is held.
CREATE OR REPLACE FUNCTION muster.submit_flow(flow jsonb)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN muster.flow_submit(flow, NULL);
END
$$;

-- The same; p_inside: the container whose flow it is, known to be right. Then it
-- waits for no other transaction: 55P03.
CREATE OR REPLACE FUNCTION muster.flow_submit(
	flow jsonb, p_inside muster.task)
RETURNS bigint LANGUAGE plpgsql
SET enable_nestloop = off SET jit = off AS $$
DECLARE
	v_flow bigint;
	v_name text[];
	v_spec jsonb[];
	v_dep int[]; -- an edge: step v_dep[i] needs step v_need[i] …
	v_need int[];
	v_cond text[];
	v_cost float8[];
	v_path float8[];
	v_lane smallint[];
	v_id bigint[];
	v_set bigint[]; -- that it is a member of
	v_n int[]; -- tasks that stand with it, of the first of a set; 0: of the others
BEGIN
	PERFORM muster.flow_check(flow);
	SELECT s.o_name, s.o_spec INTO v_name, v_spec
	FROM muster.flow_steps(flow -> 'tasks') s;
	PERFORM muster.flow_check_steps(v_name, v_spec);
	IF p_inside.id IS NULL THEN
		PERFORM muster.container_check(v_name, v_spec, 1);
	END IF;
	SELECT n.o_dep, n.o_need, n.o_cond INTO v_dep, v_need, v_cond
	FROM muster.flow_needs(v_name, v_spec) n;
	v_cost := muster.flow_costs(v_spec);
	v_path := muster.flow_paths(v_name, v_dep, v_need, v_cost);
	v_lane := muster.flow_lanes(v_path, v_cost);
	IF p_inside.id IS NOT NULL THEN
		v_lane := ARRAY(SELECT greatest(u.l, p_inside.lane)
			FROM unnest(v_lane) WITH ORDINALITY u(l, o) ORDER BY u.o);
		v_spec := ARRAY(SELECT jsonb_build_object('priority',
				-p_inside.rank) || u.s
			FROM unnest(v_spec) WITH ORDINALITY u(s, o) ORDER BY u.o);
	END IF;
	SELECT i.o_id, i.o_set, i.o_n INTO v_id, v_set, v_n
	FROM muster.flow_ids(muster.flow_order(v_path),
		muster.flow_alike(v_spec, v_lane, v_dep, v_need, v_cond)) i;
	IF p_inside.id IS NULL THEN
		PERFORM muster.flow_unique(v_id, v_name, v_spec);
	ELSE
		PERFORM muster.nested_unique(v_id, v_name, v_spec);
	END IF;
	v_flow := nextval('muster.flow_id');
	PERFORM muster.flow_store(v_flow, v_id, v_set, v_n, flow, v_name, v_spec,
		v_lane, v_dep, v_need, v_cond);
	RETURN v_flow;
END
$$;

CREATE OR REPLACE FUNCTION muster.flow_refuse(p_step text, p_what text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION '%', CASE WHEN p_step IS NULL THEN p_what
		ELSE format('task %s: %s', to_json(p_step), p_what) END
		USING ERRCODE = 'MU003';
END
$$;

-- The outermost keys.
CREATE OR REPLACE FUNCTION muster.flow_check(p_flow jsonb)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_key text;
BEGIN
	IF jsonb_typeof(p_flow) IS DISTINCT FROM 'object' THEN
		PERFORM muster.flow_refuse(NULL, 'a flow is an object');
	END IF;
	SELECT k INTO v_key FROM jsonb_object_keys(p_flow) k
	WHERE k NOT IN ('flow', 'on_failure', 'tasks') LIMIT 1;
	IF FOUND THEN
		PERFORM muster.flow_refuse(NULL, format(
			'unknown key %s: a flow has flow, on_failure, tasks',
			to_json(v_key)));
	ELSIF coalesce(jsonb_typeof(p_flow -> 'flow'), 'string') <> 'string'
			OR length(p_flow ->> 'flow') NOT BETWEEN 1 AND 200 THEN
		PERFORM muster.flow_refuse(NULL,
			'flow is its name: a string of 1 to 200 characters');
	ELSIF coalesce(p_flow ->> 'on_failure', 'continue')
			NOT IN ('cancel', 'continue') THEN
		PERFORM muster.flow_refuse(NULL, format('on_failure is %s: '
			'must be cancel or continue', p_flow -> 'on_failure'));
	ELSIF coalesce(jsonb_typeof(p_flow -> 'tasks'), 'null')
			NOT IN ('object', 'array')
			OR p_flow -> 'tasks' IN ('{}', '[]') THEN
		PERFORM muster.flow_refuse(NULL, 'a flow without tasks');
	END IF;
END
$$;

-- Names and specifications of the steps, in order.
CREATE OR REPLACE FUNCTION muster.flow_steps(
	p_tasks jsonb, OUT o_name text[], OUT o_spec jsonb[])
LANGUAGE plpgsql AS $$
DECLARE
	v_double text;
BEGIN
	IF jsonb_typeof(p_tasks) = 'object' THEN
		SELECT array_agg(e.key), array_agg(e.value) INTO o_name, o_spec
		FROM jsonb_each(p_tasks) e;
		RETURN;
	END IF;
	SELECT array_agg(e.value ->> 'name' ORDER BY e.o),
		array_agg(CASE WHEN jsonb_typeof(e.value) = 'object'
			THEN e.value - 'name' ELSE e.value END ORDER BY e.o)
	INTO o_name, o_spec
	FROM jsonb_array_elements(p_tasks) WITH ORDINALITY e(value, o);
	IF array_position(o_name, NULL) IS NOT NULL THEN
		PERFORM muster.flow_refuse(NULL, format('task number %s has no name',
			array_position(o_name, NULL)));
	END IF;
	SELECT u.n INTO v_double FROM unnest(o_name) u(n)
	GROUP BY u.n HAVING count(*) > 1 LIMIT 1;
	IF FOUND THEN
		PERFORM muster.flow_refuse(v_double, 'stands there twice');
	END IF;
END
$$;

-- A duration as it stands in a flow, in ms: "500ms", "30s", "1h30m", "7d", "1.5h", or
-- a number of seconds. Null for null and for what is none.
CREATE OR REPLACE FUNCTION muster.flow_ms(p_text text)
RETURNS float8 LANGUAGE sql IMMUTABLE STRICT AS $$
	SELECT sum(m[1]::float8 * CASE m[2] WHEN 'ms' THEN 1 WHEN 'm' THEN 60000
		WHEN 'h' THEN 3600000 WHEN 'd' THEN 86400000
		WHEN 'w' THEN 604800000 ELSE 1000 END)
	FROM regexp_matches(p_text, '(\d+(?:\.\d+)?)(ms|s|m|h|d|w)?', 'g') m
	WHERE p_text ~ '^(?:\d{1,12}(?:\.\d{1,6})?(?:ms|s|m|h|d|w)?|(?:\d{1,12}w)?'
		'(?:\d{1,12}d)?(?:\d{1,12}h)?(?:\d{1,12}m)?(?:\d{1,12}s)?'
		'(?:\d{1,12}ms)?)$'
$$;

-- The key of "lock"; null if it has none.
CREATE OR REPLACE FUNCTION muster.flow_lock(p_lock jsonb)
RETURNS text LANGUAGE sql IMMUTABLE STRICT AS $$
	SELECT CASE jsonb_typeof(p_lock) WHEN 'string' THEN p_lock #>> '{}'
		WHEN 'object' THEN CASE jsonb_typeof(p_lock -> 'key')
			WHEN 'string' THEN p_lock ->> 'key' END END
$$;

-- Its limit; null if that is none, or if there are other keys.
CREATE OR REPLACE FUNCTION muster.flow_lock_limit(p_lock jsonb)
RETURNS int LANGUAGE sql IMMUTABLE STRICT AS $$
	SELECT CASE WHEN jsonb_typeof(p_lock) <> 'object'
			OR p_lock - 'key' = '{}' THEN 1
		WHEN p_lock - 'key' - 'limit' = '{}'
			AND jsonb_typeof(p_lock -> 'limit') = 'number'
			AND p_lock ->> 'limit' ~ '^([1-9]\d{0,5}|1000000)$'
			THEN (p_lock ->> 'limit')::int END
$$;

-- The needs_mode of a step as enqueue() has it; null if it is none.
CREATE OR REPLACE FUNCTION muster.flow_mode(p_value jsonb)
RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN p_value IN ('"all"', '"any"') THEN p_value #>> '{}'
		WHEN jsonb_typeof(p_value) = 'object'
			AND p_value - 'at_least' = '{}'
			AND jsonb_typeof(p_value -> 'at_least') = 'number'
			AND p_value ->> 'at_least' ~ '^[1-9]\d{0,8}$'
		THEN 'at_least ' || (p_value ->> 'at_least') END
$$;

-- What is wrong with a key of a step; null if nothing.
CREATE OR REPLACE FUNCTION muster.flow_fault(p_key text, p_value jsonb)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_text text := p_value #>> '{}';
	v_type text := jsonb_typeof(p_value);
BEGIN
	CASE p_key
	WHEN 'payload', 'map', 'chunk', 'flow' THEN
		NULL; -- container_check()
	WHEN 'kind', 'queue' THEN
		IF v_type <> 'string' THEN
			RETURN 'must be a string';
		END IF;
	WHEN 'needs' THEN
		IF v_type <> 'array' THEN
			RETURN 'must be a list';
		END IF;
	WHEN 'needs_mode' THEN
		IF muster.flow_mode(p_value) IS NULL THEN
			RETURN 'must be all, any or {"at_least": a number from 1 on}';
		END IF;
	WHEN 'priority', 'max_attempts' THEN
		IF v_type <> 'number' OR v_text !~ '^-?\d{1,7}$' THEN
			RETURN 'must be a whole number';
		ELSIF p_key = 'priority' AND abs(v_text::int) > 1000 THEN
			RETURN 'must be between -1000 and 1000';
		ELSIF p_key = 'max_attempts' AND v_text::int < 1 THEN
			RETURN 'must be at least 1';
		ELSIF p_key = 'max_attempts' AND v_text::int > 1000000 THEN
			RETURN 'must be at most 1000000';
		END IF;
	WHEN 'timeout', 'expect' THEN
		IF v_type NOT IN ('string', 'number')
				OR muster.flow_ms(v_text) IS NULL
				OR muster.flow_ms(v_text) NOT BETWEEN 1 AND 3e11 THEN
			RETURN 'must be a duration such as 500ms, 30s, 1h30m, 7d';
		END IF;
	WHEN 'run_at' THEN
		IF v_type <> 'string' THEN
			RETURN 'must be a time such as 2030-01-31T12:00:00Z';
		END IF;
		PERFORM v_text::timestamptz;
	WHEN 'unique_key' THEN
		IF v_type <> 'string' OR length(v_text) NOT BETWEEN 1 AND 500 THEN
			RETURN 'must be a string of 1 to 500 characters';
		END IF;
	WHEN 'lock' THEN
		IF coalesce(length(muster.flow_lock(p_value)), 0)
				NOT BETWEEN 1 AND 500
				OR muster.flow_lock_limit(p_value) IS NULL THEN
			RETURN 'must be a key of 1 to 500 characters or {"key": …, '
				'"limit": 1 to 1000000}';
		END IF;
	ELSE
		RETURN 'is not known: a task has kind, payload, queue, priority, '
			'needs, needs_mode, max_attempts, timeout, run_at, expect, '
			'map, chunk, flow, unique_key, lock';
	END CASE;
	RETURN NULL;
EXCEPTION WHEN data_exception THEN
	RETURN 'must be a time such as 2030-01-31T12:00:00Z';
END
$$;

-- The first step with a fault is looked for by tests that cost little; what its
-- fault is, is found out only then.
CREATE OR REPLACE FUNCTION muster.flow_check_steps(
	p_name text[], p_spec jsonb[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_step text;
	v_spec jsonb;
	v_key text;
	v_largest int;
BEGIN
	SELECT u.n, u.s INTO v_step, v_spec
	FROM unnest(p_name, p_spec) u(n, s)
	WHERE length(u.n) NOT BETWEEN 1 AND 200
		OR CASE WHEN jsonb_typeof(u.s) = 'object'
			THEN u.s - ARRAY['kind', 'payload', 'queue', 'needs'] <> '{}'
				AND muster.flow_fault_of(u.s) IS NOT NULL
				OR jsonb_typeof(u.s -> 'kind') <> 'string'
				OR jsonb_typeof(u.s -> 'queue') <> 'string'
				OR jsonb_typeof(u.s -> 'needs') <> 'array'
				OR NOT u.s ?| '{kind,flow}'
			ELSE true END
	LIMIT 1;
	IF FOUND THEN
		PERFORM muster.flow_refuse(v_step, CASE
			WHEN jsonb_typeof(v_spec) <> 'object'
			THEN 'must be an object with a kind'
			WHEN length(v_step) NOT BETWEEN 1 AND 200
			THEN 'a name has 1 to 200 characters'
			ELSE coalesce(muster.flow_fault_of(v_spec), 'has no kind') END);
	END IF;
	SELECT min(u.n), u.s ->> 'unique_key' INTO v_step, v_key
	FROM unnest(p_name, p_spec) u(n, s) WHERE u.s ? 'unique_key'
	GROUP BY 2 HAVING count(*) > 1 LIMIT 1;
	IF FOUND THEN
		PERFORM muster.flow_refuse(v_step, format('unique_key: %s is that of '
			'another task of the flow, too', to_json(v_key)));
	END IF;
	SELECT max(octet_length((u.s -> 'payload')::text)) INTO v_largest
	FROM unnest(p_spec) u(s);
	PERFORM muster.check_payload(v_largest);
END
$$;

-- The first key of a step that has a fault, with it; null if there is none.
CREATE OR REPLACE FUNCTION muster.flow_fault_of(p_spec jsonb)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_key text;
	v_value jsonb;
BEGIN
	FOR v_key, v_value IN SELECT * FROM jsonb_each(p_spec) LOOP
		IF muster.flow_fault(v_key, v_value) IS NOT NULL THEN
			RETURN format('%s: %s %s', v_key, left(v_value::text, 60),
				muster.flow_fault(v_key, v_value));
		END IF;
	END LOOP;
	RETURN NULL;
END
$$;

-- The edges, by the number of the dependent step.
CREATE OR REPLACE FUNCTION muster.flow_needs(p_name text[], p_spec jsonb[],
	OUT o_dep int[], OUT o_need int[], OUT o_cond text[])
LANGUAGE plpgsql AS $$
DECLARE
	v_wrong int;
	v_bad record;
BEGIN
	SELECT array_agg(m.dep), array_agg(m.step), array_agg(m.cond),
		min(m.dep) FILTER (WHERE m.step IS NULL OR m.cond IS NULL)
	INTO o_dep, o_need, o_cond, v_wrong
	FROM (
		SELECT n.dep::int, s.o::int AS step, n.cond
		FROM (
			SELECT u.o AS dep, e.o AS place,
				CASE WHEN e.text IS NULL THEN e.value ->> 'task'
					ELSE e.text END AS need,
				CASE WHEN e.text IS NOT NULL THEN 's'
					WHEN e.value - 'task' - 'when' = '{}' THEN
					muster.cond_of(coalesce(e.value ->> 'when',
						'succeeded'))::text END AS cond
			FROM unnest(p_spec) WITH ORDINALITY u(s, o)
			CROSS JOIN LATERAL (SELECT x.value, x.o,
				CASE jsonb_typeof(x.value) WHEN 'string'
					THEN x.value #>> '{}' WHEN 'object' THEN NULL
					ELSE '' END AS text
				FROM jsonb_array_elements(u.s -> 'needs')
				WITH ORDINALITY x(value, o)) e
			WHERE u.s ? 'needs' OFFSET 0 -- not to be joined inside
		) n
		LEFT JOIN unnest(p_name) WITH ORDINALITY s(name, o)
			ON s.name = n.need
		ORDER BY n.dep, n.place
	) m;
	IF v_wrong IS NOT NULL THEN
		PERFORM muster.flow_refuse_need(p_name, p_name[v_wrong],
			p_spec[v_wrong] -> 'needs');
	END IF;
	SELECT u.d, u.n INTO v_bad
	FROM (SELECT x.d, x.n, row_number() OVER (PARTITION BY x.d, x.n) AS times
		FROM unnest(o_dep, o_need) x(d, n)) u
	WHERE u.times > 1 LIMIT 1;
	IF FOUND THEN
		PERFORM muster.flow_refuse(p_name[v_bad.d],
			format('needs %s twice', to_json(p_name[v_bad.n])));
	END IF;
END
$$;

-- Says which of the needs of this step is wrong.
CREATE OR REPLACE FUNCTION muster.flow_refuse_need(
	p_name text[], p_step text, p_needs jsonb)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_need jsonb;
	v_name text;
BEGIN
	FOR v_need IN SELECT jsonb_array_elements(p_needs) LOOP
		v_name := CASE jsonb_typeof(v_need) WHEN 'object'
			THEN v_need ->> 'task' WHEN 'string' THEN v_need #>> '{}' END;
		IF v_name IS NULL OR jsonb_typeof(v_need) NOT IN ('string', 'object')
				OR (jsonb_typeof(v_need) = 'object'
				AND v_need - 'task' - 'when' <> '{}') THEN
			PERFORM muster.flow_refuse(p_step, format('needs %s: must be '
				'a name or {"task": name, "when": condition}',
				left(v_need::text, 60)));
		ELSIF jsonb_typeof(v_need) = 'object' AND v_need ? 'when'
				AND muster.cond_of(v_need ->> 'when') IS NULL THEN
			PERFORM muster.flow_refuse(p_step, format('needs %s when %s: '
				'must be succeeded, finished or failed',
				to_json(v_name), v_need -> 'when'));
		ELSIF v_name <> ALL (p_name) THEN
			PERFORM muster.flow_refuse(p_step, format(
				'needs %s, which is not in the flow', to_json(v_name)));
		END IF;
	END LOOP;
END
$$;

-- How long a path hangs on each step, itself included. Walks from the last steps
-- back to the first (Kahn 1962); what is not reached lies on or before a cycle.
CREATE OR REPLACE FUNCTION muster.flow_paths(
	p_name text[], p_dep int[], p_need int[], p_cost float8[])
RETURNS float8[] LANGUAGE plpgsql AS $$
DECLARE
	v_steps int := cardinality(p_name);
	v_edges int := coalesce(cardinality(p_dep), 0);
	v_path float8[] := p_cost;
	v_waits int[] := array_fill(0, ARRAY[v_steps]); -- for so many dependents
	v_first int[] := array_fill(1, ARRAY[v_steps + 1]); -- edge of each step
	v_done int[] := array_fill(0, ARRAY[v_steps]);
	v_count int := 0;
	v_step int;
	v_other int;
BEGIN
	FOR i IN 1 .. v_edges LOOP
		v_waits[p_need[i]] := v_waits[p_need[i]] + 1;
		v_first[p_dep[i] + 1] := i + 1;
	END LOOP;
	FOR i IN 1 .. v_steps LOOP -- steps without needs have no edges
		v_first[i + 1] := greatest(v_first[i + 1], v_first[i]);
		IF v_waits[i] = 0 THEN
			v_count := v_count + 1;
			v_done[v_count] := i;
		END IF;
	END LOOP;
	FOR i IN 1 .. v_steps LOOP
		EXIT WHEN i > v_count;
		v_step := v_done[i];
		FOR e IN v_first[v_step] .. v_first[v_step + 1] - 1 LOOP
			v_other := p_need[e];
			v_path[v_other] := greatest(v_path[v_other],
				p_cost[v_other] + v_path[v_step]);
			v_waits[v_other] := v_waits[v_other] - 1;
			IF v_waits[v_other] = 0 THEN
				v_count := v_count + 1;
				v_done[v_count] := v_other;
			END IF;
		END LOOP;
	END LOOP;
	IF v_count < v_steps THEN
		PERFORM muster.flow_refuse(NULL,
			muster.flow_cycle(p_name, p_dep, p_need, v_waits));
	END IF;
	RETURN v_path;
END
$$;

-- The lane of each step: in the order of the paths, the longest first, eight parts
-- of the flow. A step counts in its part by the square root of its length: with
-- steps that all count as one the few long ones, with steps that count by their
-- lengths the many short ones would share a lane. Equal paths share one.
CREATE OR REPLACE FUNCTION muster.flow_lanes(p_path float8[], p_cost float8[])
RETURNS smallint[] LANGUAGE plpgsql AS $$
BEGIN
	RETURN ARRAY(SELECT least(7, floor(8 * min(w.before)
			OVER (PARTITION BY w.p) / w.whole))::smallint
		FROM (SELECT u.o, u.p, sum(s.part) OVER () AS whole,
				coalesce(sum(s.part) OVER (ORDER BY u.p DESC, u.o
					ROWS BETWEEN UNBOUNDED PRECEDING
					AND 1 PRECEDING), 0) AS before
			FROM unnest(p_path, p_cost) WITH ORDINALITY u(p, c, o)
			CROSS JOIN LATERAL (SELECT sqrt(u.c) AS part) s
			) w
		ORDER BY w.o);
END
$$;

-- The steps of a cycle, in words. Every step with p_waits > 0 has a dependent
-- that is one too: following these must lead back.
CREATE OR REPLACE FUNCTION muster.flow_cycle(
	p_name text[], p_dep int[], p_need int[], p_waits int[])
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_next int[] := array_fill(0, ARRAY[cardinality(p_name)]);
	v_step int;
	v_text text;
BEGIN
	FOR i IN 1 .. cardinality(p_dep) LOOP
		IF p_waits[p_dep[i]] > 0 AND p_waits[p_need[i]] > 0 THEN
			v_next[p_need[i]] := p_dep[i];
			v_step := p_need[i];
		END IF;
	END LOOP;
	FOR i IN 1 .. cardinality(p_name) LOOP -- now surely on the cycle
		v_step := v_next[v_step];
	END LOOP;
	v_text := to_json(p_name[v_step]);
	FOR i IN 1 .. 10 LOOP
		p_waits[v_step] := -1;
		v_step := v_next[v_step];
		v_text := format('%s <- %s', v_text, to_json(p_name[v_step]));
		IF p_waits[v_step] = -1 THEN
			RETURN 'a cycle of needs: ' || v_text;
		END IF;
	END LOOP;
	RETURN 'a cycle of needs: ' || v_text || ' <- …';
END
$$;

-- The place of each step in the order of their ids: the longest path first, so
-- that what becomes ready at once stands in a line by urgency, and ids ascend
-- along the needs, which retry of a flow relies on.
CREATE OR REPLACE FUNCTION muster.flow_order(p_path float8[])
RETURNS int[] LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT array_agg(q.place ORDER BY q.o)
		FROM (SELECT u.o, row_number() OVER (ORDER BY u.p DESC, u.o)::int
				AS place
			FROM unnest(p_path) WITH ORDINALITY u(p, o)) q);
END
$$;

-- Of each step that may stand in a set the first that waits for the same and
-- goes to the same line; null: it stands alone.
CREATE OR REPLACE FUNCTION muster.flow_alike(p_step jsonb[], p_lane smallint[],
	p_dep int[], p_need int[], p_cond text[])
RETURNS int[] LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT array_agg(CASE WHEN a.n > 1 THEN a.first END ORDER BY a.o)
	FROM (SELECT u.o, count(n.waits) OVER w AS n,
			(min(u.o) OVER w)::int AS first
		FROM unnest(p_step, p_lane) WITH ORDINALITY u(s, lane, o)
		LEFT JOIN (SELECT x.d, string_agg(x.n || x.c, ',' ORDER BY x.n)
				AS waits
			FROM unnest(p_dep, p_need, p_cond) x(d, n, c)
			GROUP BY x.d) n
			ON n.d = u.o AND NOT u.s ?| '{map,flow,lock,run_at}'
		WINDOW w AS (PARTITION BY n.waits,
			nullif(u.s -> 'needs_mode', '"all"'),
			coalesce(u.s ->> 'queue', 'default'), u.s ->> 'kind',
			coalesce((u.s ->> 'priority')::int, 0), u.lane)) a);
END
$$;

-- The steps' ids, in this order, but for those that are alike (p_alike: the
-- number of the first of them; null: like no other), which follow the first of
-- them: ids ascend along the needs, which retry of a flow relies on. Up to 16 that
-- are alike are a set, under the id o_set that comes after theirs; o_n is how many
-- they are for the first, 0 for the others, 1 for a step of no set. Where another
-- transaction drew an id in between there is no set.
CREATE OR REPLACE FUNCTION muster.flow_ids(p_order int[], p_alike int[],
	OUT o_id bigint[], OUT o_set bigint[], OUT o_n int[])
LANGUAGE plpgsql AS $$
DECLARE
	v_at int[];
	v_nth int[]; -- of its set
	v_of int[];
	v_drawn bigint[];
BEGIN
	SELECT array_agg(q.at ORDER BY q.o), array_agg(q.nth ORDER BY q.o),
		array_agg(q.n ORDER BY q.o),
		ARRAY(SELECT nextval('muster.task_id')
			FROM generate_series(1, max(q.at) + max(q.last)))
	INTO v_at, v_nth, v_of, v_drawn
	FROM (SELECT p.o, p.nth, p.n, (p.nth = p.n AND p.n > 1)::int AS last,
			(row_number() OVER w + coalesce(sum((p.nth = p.n
				AND p.n > 1)::int) OVER (w ROWS BETWEEN
				UNBOUNDED PRECEDING AND 1 PRECEDING), 0))::int AS at
		FROM (SELECT g.*, (count(*) OVER (PARTITION BY g.head, g.part))::int
				AS n, (row_number() OVER (PARTITION BY g.head, g.part
				ORDER BY g.r))::int AS nth
			FROM (SELECT u.o, u.r, min(u.r) OVER v AS head,
					(row_number() OVER (v ORDER BY u.r) - 1) / 16
					AS part
				FROM unnest(p_order, p_alike) WITH ORDINALITY
					u(r, a, o)
				WINDOW v AS (PARTITION BY coalesce(u.a, -u.o))) g) p
		WINDOW w AS (ORDER BY p.head, p.part, p.nth)) q;
	SELECT array_agg(d.id ORDER BY d.o), array_agg(d.set ORDER BY d.o),
		array_agg(CASE WHEN d.set IS NULL THEN 1 WHEN d.nth = 1 THEN d.n
			ELSE 0 END ORDER BY d.o)
	INTO o_id, o_set, o_n
	FROM (SELECT u.o, u.nth, u.n, v_drawn[u.at] AS id,
			CASE WHEN u.n > 1 AND v_drawn[u.at - u.nth + 1] + u.n
				= v_drawn[u.at - u.nth + 1 + u.n]
			THEN v_drawn[u.at - u.nth + 1 + u.n] END AS set
		FROM unnest(v_at, v_nth, v_of) WITH ORDINALITY u(at, nth, n, o)) d;
END
$$;

-- How many of its needs each step wants met; null: all.
CREATE OR REPLACE FUNCTION muster.flow_least(
	p_name text[], p_step jsonb[], p_needs int[])
RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
	v_least int[];
	v_bad record;
BEGIN
	SELECT array_agg(CASE u.mode WHEN 'any' THEN 1
			ELSE substr(u.mode, 10)::int END ORDER BY u.o)
	INTO v_least
	FROM (SELECT x.o, nullif(muster.flow_mode(x.s -> 'needs_mode'), 'all')
			AS mode
		FROM unnest(p_step) WITH ORDINALITY x(s, o)) u;
	SELECT u.name, u.needs, u.s -> 'needs_mode' AS mode INTO v_bad
	FROM unnest(p_name, p_step, p_needs, v_least) u(name, s, needs, least)
	WHERE u.least > u.needs LIMIT 1;
	IF FOUND THEN
		PERFORM muster.flow_refuse(v_bad.name, format(
			'needs_mode: %s, but it has %s needs', v_bad.mode,
			v_bad.needs));
	END IF;
	RETURN v_least;
END
$$;

-- p_sole, negative for the inner steps: those that run themselves, and whose one
-- dependent runs only when all that it needs has ended.
CREATE OR REPLACE FUNCTION muster.flow_inner(p_sole bigint[], p_id bigint[],
	p_set bigint[], p_step jsonb[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	v_some CONSTANT bigint[] := ARRAY(SELECT coalesce(u.set, u.id)
		FROM unnest(p_id, p_set, p_step) u(id, set, s)
		WHERE coalesce(u.s ->> 'needs_mode', 'all') <> 'all');
BEGIN
	RETURN ARRAY(SELECT CASE WHEN u.s ?| '{map,flow}' OR u.sole = ANY (v_some)
			THEN u.sole ELSE -u.sole END
		FROM unnest(p_sole, p_step) WITH ORDINALITY u(sole, s, o)
		ORDER BY u.o);
END
$$;

-- Stores all of it. The edges of a set lead to the set.
CREATE OR REPLACE FUNCTION muster.flow_store(p_flow bigint, p_id bigint[],
	p_set bigint[], p_n int[], p_spec jsonb, p_name text[], p_step jsonb[], p_lane smallint[],
	p_dep int[], p_need int[], p_cond text[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_least int[];
	v_route int[];
	v_needs int[] := array_fill(0, ARRAY[cardinality(p_name)]);
	v_feeds boolean[] := array_fill(false, ARRAY[cardinality(p_name)]);
	v_edges int[] := array_fill(0, ARRAY[cardinality(p_name)]);
	v_sole bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(p_name)]);
	v_lock bigint[] := ARRAY(SELECT muster.lock_number(
			muster.flow_lock(u.s -> 'lock'))
		FROM unnest(p_step) WITH ORDINALITY u(s, o) ORDER BY u.o);
	v_fast boolean := coalesce(p_spec ->> 'on_failure', '') = 'cancel';
	v_holds boolean; -- some are containers
BEGIN
	WITH s AS MATERIALIZED (
		SELECT u.o, coalesce(u.s ->> 'queue', 'default') AS queue,
			u.s ->> 'kind' AS kind, CASE WHEN u.s ? 'map' THEN 'map'
				WHEN u.s ? 'flow' THEN 'flow' ELSE '' END AS holds
		FROM unnest(p_step) WITH ORDINALITY u(s, o)
	), r AS MATERIALIZED (
		SELECT d.queue, d.kind, d.holds,
			CASE WHEN d.holds <> '' THEN muster.route_intern('-', d.holds)
			ELSE muster.route_of(d.queue, d.kind) END AS id
		FROM (SELECT DISTINCT s.queue, coalesce(s.kind, '') AS kind,
			s.holds FROM s) d
	)
	SELECT array_agg(r.id ORDER BY s.o), bool_or(s.holds <> '')
	INTO v_route, v_holds
	FROM s JOIN r ON r.queue = s.queue AND r.kind = coalesce(s.kind, '')
		AND r.holds = s.holds;
	FOR i IN 1 .. coalesce(cardinality(p_dep), 0) LOOP
		v_needs[p_dep[i]] := v_needs[p_dep[i]] + 1;
		v_feeds[p_need[i]] := true;
		CONTINUE WHEN p_n[p_dep[i]] = 0;
		v_edges[p_need[i]] := v_edges[p_need[i]] + 1;
		v_sole[p_need[i]] := CASE
			WHEN v_edges[p_need[i]] = 1 AND p_cond[i] <> 'f'
			THEN coalesce(p_set[p_dep[i]], p_id[p_dep[i]]) END;
	END LOOP;
	v_least := muster.flow_least(p_name, p_step, v_needs);
	IF cardinality(p_name) <= 100 THEN
		v_sole := muster.flow_inner(v_sole, p_id, p_set, p_step);
	END IF;
	INSERT INTO muster.flow (id, created_at, total, fail_fast, name,
		inner_steps, inner_to)
	SELECT p_flow, clock_timestamp(), cardinality(p_name), v_fast,
		p_spec ->> 'flow', count(*), max(u.id)
	FROM unnest(p_id, v_sole) u(id, sole) WHERE u.sole < 0;
	INSERT INTO muster.task (id, flow_id, created_at, timeout_ms, route_id,
		size, max_attempts, rank, lane, has_needs, has_dependents,
		fail_fast, name, payload, lock_id, lock_limit, lock_key, unique_key,
		set_id, sole, expect_ms)
	SELECT u.id, p_flow, clock_timestamp(),
		muster.flow_ms(u.s ->> 'timeout')::bigint, u.route,
		octet_length(p.payload), (u.s ->> 'max_attempts')::int,
		-coalesce((u.s ->> 'priority')::int, 0), u.lane, u.needs > 0,
		u.feeds, v_fast, u.name, p.payload, u.lock,
		muster.flow_lock_limit(u.s -> 'lock'),
		muster.flow_lock(u.s -> 'lock'), u.s ->> 'unique_key', u.set, u.sole,
		muster.flow_ms(u.s ->> 'expect')::real
	FROM unnest(p_id, p_set, p_name, p_step, v_route, p_lane, v_needs,
			v_feeds, v_lock, v_sole)
		u(id, set, name, s, route, lane, needs, feeds, lock, sole)
	CROSS JOIN LATERAL (SELECT coalesce(u.s -> 'payload', '{}')::text
		AS payload OFFSET 0) p;
	IF p_dep IS NOT NULL THEN
		INSERT INTO muster.edge (need, task_id, cond)
		SELECT p_id[u.n], coalesce(p_set[u.d], p_id[u.d]), u.c::"char"
		FROM unnest(p_need, p_dep, p_cond) u(n, d, c) WHERE p_n[u.d] > 0;
		INSERT INTO muster.needs
		SELECT p_id[u.d], array_agg(p_id[u.n]), string_agg(u.c, ''),
			v_least[u.d]
		FROM unnest(p_need, p_dep, p_cond) u(n, d, c) GROUP BY u.d;
	END IF;
	IF v_holds THEN
		PERFORM muster.container_store(p_id, p_name, p_step);
	END IF;
	PERFORM muster.flow_place(p_id, p_set, p_n, v_needs, v_least, v_route,
		v_lock, p_lane,
		ARRAY(SELECT (u.s ->> 'run_at')::timestamptz
			FROM unnest(p_step) WITH ORDINALITY u(s, o) ORDER BY u.o),
		ARRAY(SELECT -coalesce((u.s ->> 'priority')::int, 0)
			FROM unnest(p_step) WITH ORDINALITY u(s, o) ORDER BY u.o),
		ARRAY(SELECT octet_length(coalesce(u.s -> 'payload', '{}')::text)
			FROM unnest(p_step) WITH ORDINALITY u(s, o) ORDER BY u.o));
END
$$;

-- The unique keys of its steps, in order.
CREATE OR REPLACE FUNCTION muster.flow_unique(
	p_id bigint[], p_name text[], p_step jsonb[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_step record;
	v_holder bigint;
BEGIN
	FOR v_step IN SELECT u.id, u.name, u.s ->> 'unique_key' AS key
			FROM unnest(p_id, p_name, p_step) u(id, name, s)
			WHERE u.s ? 'unique_key' ORDER BY 3, 1 LOOP
		v_holder := muster.unique_take(v_step.id, v_step.key, NULL);
		IF v_holder IS NOT NULL THEN
			PERFORM muster.unique_refuse(v_step.key, v_holder,
				format('task %s: ', to_json(v_step.name)));
		END IF;
	END LOOP;
END
$$;

-- Its steps in their places. The task rows stand: the transaction has its
-- number before it draws a seq, which the safe mark relies on.
CREATE OR REPLACE FUNCTION muster.flow_place(p_id bigint[], p_set bigint[],
	p_n int[], p_needs int[], p_least int[], p_route int[], p_lock bigint[], p_lane smallint[],
	p_run_at timestamptz[], p_rank int[], p_size int[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_now timestamptz := clock_timestamp();
	v_first timestamptz;
	v_wakes boolean;
BEGIN
	PERFORM muster.lane_open(u.route, u.rank, u.lane)
	FROM (SELECT DISTINCT x.route, x.rank, x.lane
		FROM unnest(p_route, p_rank, p_lane) x(route, rank, lane)) u;
	INSERT INTO muster.blocked
	SELECT coalesce(u.set, u.id), u.run_at, coalesce(u.least, u.needs),
		u.needs - coalesce(u.least, u.needs), u.route, u.n * u.largest,
		u.rank, u.lane, 0, u.lock, u.n,
		CASE WHEN u.set IS NOT NULL THEN u.id END
	FROM (SELECT x.*, max(x.size) OVER (PARTITION BY coalesce(x.set, x.id))
			AS largest
		FROM unnest(p_id, p_set, p_n, p_needs, p_least, p_route, p_lock,
				p_lane, p_run_at, p_rank, p_size)
			x(id, set, n, needs, least, route, lock, lane, run_at,
				rank, size)
		WHERE x.needs > 0) u
	WHERE u.n > 0;
	SELECT min(u.run_at) INTO v_first
	FROM unnest(p_needs, p_run_at) u(needs, run_at)
	WHERE u.needs = 0 AND u.run_at > v_now;
	v_wakes := v_first IS NOT NULL AND muster.wake_earlier(v_first);
	INSERT INTO muster.scheduled
	SELECT u.run_at, u.id, u.route, u.size, u.rank, u.lane, 0,
		v_wakes AND u.run_at = v_first, u.lock
	FROM unnest(p_id, p_needs, p_route, p_lock, p_lane, p_run_at, p_rank,
			p_size)
		u(id, needs, route, lock, lane, run_at, rank, size)
	WHERE u.needs = 0 AND u.run_at > v_now;
	INSERT INTO muster.arriving (task_id, wakes, asks)
	SELECT u.id, u.n = 1 AND muster.wake_work(), true
	FROM (SELECT x.id, row_number() OVER (ORDER BY x.id) AS n
		FROM unnest(p_id, p_needs, p_lock, p_run_at)
			x(id, needs, lock, run_at)
		WHERE x.needs = 0 AND x.lock IS NOT NULL
			AND (x.run_at > v_now) IS NOT TRUE) u;
	INSERT INTO muster.ready
	SELECT nextval('muster.ready_seq'), u.id, v_now, u.route, u.size,
		u.rank, u.lane, 0, CASE WHEN u.id = u.first
			THEN muster.wake_count(u.route, u.n) ELSE false END
	FROM (SELECT x.*, min(x.id) OVER w AS first,
			(count(*) OVER w)::int AS n
		FROM unnest(p_id, p_needs, p_route, p_lock, p_lane, p_run_at,
				p_rank, p_size)
			x(id, needs, route, lock, lane, run_at, rank, size)
		WHERE x.needs = 0 AND x.lock IS NULL
			AND (x.run_at > v_now) IS NOT TRUE
		WINDOW w AS (PARTITION BY x.route)
		ORDER BY x.id) u;
END
$$;
