-- Filters: which tasks a request for many is about. A filter is a JSON object
-- of queue, kind, flow (its id), name (of the step of its flow), state (one or
-- an array), error (a LIKE pattern), since and before (when it ended or, if it
-- is open, was created), all of which have to hold.

-- The states that a verb may be asked for.
CREATE OR REPLACE FUNCTION muster.filter_states(p_verb text)
RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE p_verb WHEN 'retry'
		THEN ARRAY['failed', 'cancelled', 'skipped']
		ELSE ARRAY['arriving', 'blocked', 'scheduled', 'waiting', 'ready',
			'running'] END
$$;

-- The states that the filter names; null: none.
CREATE OR REPLACE FUNCTION muster.filter_state(p_verb text, p_filter jsonb)
RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
	v_states text[];
	v_wrong text;
BEGIN
	IF NOT p_filter ? 'state' THEN
		RETURN NULL;
	END IF;
	SELECT array_agg(s.name) INTO v_states
	FROM jsonb_array_elements_text(
		CASE jsonb_typeof(p_filter -> 'state') WHEN 'array'
		THEN p_filter -> 'state'
		ELSE jsonb_build_array(p_filter -> 'state') END) s(name);
	SELECT u.name INTO v_wrong
	FROM unnest(coalesce(v_states, ARRAY[NULL])) u(name)
	WHERE (u.name = ANY (muster.filter_states(p_verb))) IS NOT TRUE LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'state % of the filter is none of those to %: %',
			coalesce(to_json(v_wrong)::text, 'null'), p_verb,
			array_to_string(muster.filter_states(p_verb), ', ')
			USING ERRCODE = 'MU003';
	END IF;
	RETURN v_states;
END
$$;

-- Refuses what is no filter, or one that leaves nothing out.
CREATE OR REPLACE FUNCTION muster.check_filter(p_verb text, p_filter jsonb)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_known CONSTANT text[] := ARRAY['queue', 'kind', 'flow', 'name',
		'state', 'error', 'since', 'before'];
	v_key text;
	v_value jsonb;
BEGIN
	IF p_verb IS NULL OR p_verb NOT IN ('cancel', 'retry', 'reprioritise')
			THEN
		RAISE EXCEPTION 'nothing is called %: there are cancel, retry, '
			'reprioritise', coalesce(to_json(p_verb)::text, 'null')
			USING ERRCODE = 'MU003';
	ELSIF p_filter IS NULL OR jsonb_typeof(p_filter) <> 'object'
			OR p_filter = '{}' THEN
		RAISE EXCEPTION 'no filter is given: that would % every task',
			p_verb USING ERRCODE = 'MU003',
			HINT = 'A filter is a JSON object of '
			|| array_to_string(v_known, ', ') || '.';
	END IF;
	FOR v_key, v_value IN SELECT * FROM jsonb_each(p_filter) LOOP
		IF v_key <> ALL (v_known) THEN
			RAISE EXCEPTION 'the filter has an unknown key %',
				to_json(v_key)
				USING ERRCODE = 'MU003', HINT = 'Known are '
				|| array_to_string(v_known, ', ') || '.';
		ELSIF v_key <> 'state' AND jsonb_typeof(v_value) <>
				(CASE v_key WHEN 'flow' THEN 'number'
				ELSE 'string' END) THEN
			RAISE EXCEPTION '% of the filter is no %: %', v_key,
				CASE v_key WHEN 'flow' THEN 'number'
				ELSE 'string' END, v_value
				USING ERRCODE = 'MU003';
		ELSIF v_key = 'flow' AND (v_value #>> '{}')::numeric
				NOT BETWEEN 1 AND 9223372036854775807 THEN
			RAISE EXCEPTION '% is no id of a flow', v_value
				USING ERRCODE = 'MU003';
		END IF;
	END LOOP;
END
$$;

-- An instant of the filter; null: not given.
CREATE OR REPLACE FUNCTION muster.filter_time(p_filter jsonb, p_key text)
RETURNS timestamptz LANGUAGE plpgsql AS $$
BEGIN
	RETURN (p_filter ->> p_key)::timestamptz;
EXCEPTION WHEN data_exception THEN
	RAISE EXCEPTION '% of the filter is no time: %', p_key,
		p_filter -> p_key USING ERRCODE = 'MU003';
END
$$;

-- The query that gives the ids of the tasks that are there to cancel, retry or
-- reprioritise: of all states that this can be done to, where the filter names
-- none, but a retry is of those that failed.
CREATE OR REPLACE FUNCTION muster.filter_sql(p_verb text, p_filter jsonb)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_sql text := 'SELECT t.id FROM muster.task t WHERE t.state ';
	v_age CONSTANT text := ' AND coalesce(t.finished_at, t.created_at) ';
	v_states text[];
	v_since timestamptz;
	v_before timestamptz;
BEGIN
	PERFORM muster.check_filter(p_verb, p_filter);
	v_states := muster.filter_state(p_verb, p_filter);
	v_since := muster.filter_time(p_filter, 'since');
	v_before := muster.filter_time(p_filter, 'before');
	IF p_verb = 'retry' THEN
		v_sql := v_sql || format('= ANY (%L::"char"[])', ARRAY(
			SELECT CASE u.s WHEN 'skipped' THEN 'k'
				ELSE left(u.s, 1) END
			FROM unnest(coalesce(v_states, ARRAY['failed'])) u(s)));
	ELSE
		v_sql := v_sql || 'IS NULL' || coalesce(' AND t.id IN (SELECT s.id '
			'FROM muster.task_status s WHERE s.state = ANY ('
			|| quote_literal(v_states) || '))', '');
	END IF;
	IF p_filter ?| ARRAY['queue', 'kind'] THEN
		v_sql := v_sql || format(' AND t.route_id = ANY (%L::int[])',
			ARRAY(SELECT r.id FROM muster.route r WHERE
				(NOT p_filter ? 'queue'
					OR r.queue = p_filter ->> 'queue')
				AND (NOT p_filter ? 'kind'
					OR r.kind = p_filter ->> 'kind')));
	END IF;
	-- What is not given makes a null of its condition.
	RETURN v_sql
		|| coalesce(' AND t.flow_id = ' || (p_filter -> 'flow')::bigint, '')
		|| coalesce(' AND t.name = '
			|| quote_literal(p_filter ->> 'name'), '')
		|| coalesce(' AND t.error LIKE '
			|| quote_literal(p_filter ->> 'error'), '')
		|| coalesce(v_age || '>= ' || quote_literal(v_since), '')
		|| coalesce(v_age || '< ' || quote_literal(v_before), '');
END
$$;

-- How many tasks cancel_where(), retry_where() or reprioritise_where() would
-- be about: verb is their name without _where.
CREATE OR REPLACE FUNCTION muster.count_where(verb text, filter jsonb)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_count bigint;
BEGIN
	EXECUTE 'SELECT count(*) FROM (' || muster.filter_sql(verb, filter)
		|| ') t' INTO v_count;
	RETURN v_count;
END
$$;
