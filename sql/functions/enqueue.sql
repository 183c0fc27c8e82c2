-- Enqueuing: what applications call, inside their own transactions, under any
-- isolation level. Clients only insert: they take no lock that a turn, a
-- rescue or a scheduler waits for.

-- Refuses what no task may have.
CREATE OR REPLACE FUNCTION muster.check_limits(
	p_priority int, p_max_attempts int, p_timeout interval)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF p_priority IS NULL OR p_priority NOT BETWEEN -1000 AND 1000 THEN
		RAISE EXCEPTION 'priority % is not between -1000 and 1000',
			coalesce(p_priority::text, 'null')
			USING ERRCODE = 'MU003';
	ELSIF p_max_attempts NOT BETWEEN 1 AND 1000000 THEN
		RAISE EXCEPTION 'max_attempts % is not between 1 and 1000000',
			p_max_attempts USING ERRCODE = 'MU003';
	ELSIF p_timeout <= '0' OR p_timeout > '10 years' THEN
		RAISE EXCEPTION 'timeout % is not between 1 ms and 10 years',
			p_timeout USING ERRCODE = 'MU003';
	END IF;
END
$$;

-- Refuses a payload that is larger than the setting allows.
CREATE OR REPLACE FUNCTION muster.check_payload(p_bytes int)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_max bigint := muster.max_payload();
BEGIN
	IF p_bytes > v_max THEN
		RAISE EXCEPTION 'a payload of % bytes is over max_payload (%)',
			p_bytes, v_max USING ERRCODE = 'MU003',
			HINT = 'Store the data elsewhere and name its place, or '
				'raise max_payload in musterd.yaml.';
	END IF;
END
$$;

-- Milliseconds, at least 1; null for null.
CREATE OR REPLACE FUNCTION muster.interval_ms(p_interval interval)
RETURNS bigint LANGUAGE sql IMMUTABLE STRICT AS $$
	SELECT greatest((extract(epoch FROM p_interval) * 1000)::bigint, 1)
$$;

-- Enqueues one task and gives its id. unique_key: while another task has it (until
-- that ends, or for unique_for), on_conflict says what happens: keep gives the
-- id of that one and stores nothing, error raises MU006, replace cancels that one
-- unless it runs, and the new one has the key. lock_key: at most lock_limit tasks
-- of that key are ready or running; of several limits the newest holds.
CREATE OR REPLACE FUNCTION muster.enqueue(kind text,
	payload jsonb DEFAULT '{}', queue text DEFAULT 'default',
	priority int DEFAULT 0, run_at timestamptz DEFAULT NULL,
	depends_on bigint[] DEFAULT NULL, depends_when text DEFAULT 'succeeded',
	flow_id bigint DEFAULT NULL, max_attempts int DEFAULT NULL,
	timeout interval DEFAULT NULL, wake boolean DEFAULT true,
	needs_mode text DEFAULT 'all',
	unique_key text DEFAULT NULL, unique_for interval DEFAULT NULL,
	on_conflict text DEFAULT 'keep', lock_key text DEFAULT NULL,
	lock_limit int DEFAULT 1)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_id bigint := nextval('muster.task_id');
	v_payload text := coalesce(payload, '{}')::text;
	v_size int := octet_length(v_payload);
	v_rank int := -coalesce(priority, 0);
	v_route int;
	v_known boolean;
	v_max bigint;
	v_needs bigint[];
	v_lock bigint;
	v_standing bigint;
	v_least int;
BEGIN
	SELECT r.id, EXISTS (SELECT FROM muster.lanes l WHERE l.route_id = r.id
			AND l.rank = v_rank AND l.lane = 8),
		(SELECT s.value::bigint FROM muster.setting s
			WHERE s.name = 'max_payload')
	INTO v_route, v_known, v_max
	FROM muster.route r WHERE r.queue = enqueue.queue
		AND r.kind = enqueue.kind LIMIT 1;
	IF v_known IS NOT TRUE OR v_size > v_max OR priority IS NULL
			OR max_attempts IS NOT NULL OR timeout IS NOT NULL THEN
		PERFORM muster.check_limits(priority, max_attempts, timeout),
			muster.check_payload(v_size);
		v_route := muster.route_of(queue, kind);
		PERFORM muster.lane_open(v_route, v_rank, 8);
	END IF;
	IF depends_on <> '{}' OR flow_id IS NOT NULL THEN
		v_needs := muster.check_needs(nullif(depends_on, '{}'),
			depends_when, flow_id);
	END IF;
	IF unique_key IS NOT NULL OR lock_key IS NOT NULL
			OR unique_for IS NOT NULL THEN
		PERFORM muster.check_keys(unique_key, unique_for, on_conflict,
			lock_key, lock_limit);
		v_lock := muster.lock_number(lock_key);
		v_standing := CASE WHEN unique_key IS NOT NULL THEN
			muster.unique_take(v_id, unique_key, unique_for) END;
		IF v_standing IS NULL THEN
			NULL;
		ELSIF on_conflict = 'keep' THEN
			RETURN v_standing;
		ELSIF on_conflict = 'error' THEN
			PERFORM muster.unique_refuse(unique_key, v_standing);
		END IF;
	END IF;
	IF needs_mode IS DISTINCT FROM 'all' THEN
		v_least := muster.least_of(needs_mode,
			coalesce(cardinality(v_needs), 0));
	END IF;
	INSERT INTO muster.task (id, flow_id, created_at, timeout_ms, route_id,
		size, max_attempts, rank, lane, has_needs, payload, lock_id,
		lock_limit, lock_key, unique_key)
	VALUES (v_id, enqueue.flow_id, clock_timestamp(),
		muster.interval_ms(timeout), v_route, v_size,
		enqueue.max_attempts, v_rank, 8, v_needs IS NOT NULL, v_payload,
		v_lock, CASE WHEN v_lock IS NOT NULL THEN enqueue.lock_limit END,
		enqueue.lock_key, enqueue.unique_key);
	IF v_standing IS NOT NULL THEN
		PERFORM muster.unique_replace(v_id);
		INSERT INTO muster.arriving (task_id, run_at, wakes, flow_id,
			replaces, until)
		VALUES (v_id, enqueue.run_at, false, enqueue.flow_id,
			enqueue.unique_key, clock_timestamp() + unique_for);
	END IF;
	IF v_needs IS NOT NULL OR flow_id IS NOT NULL
			OR v_standing IS NOT NULL THEN
		IF v_needs IS NOT NULL THEN
			INSERT INTO muster.needs VALUES (v_id, v_needs,
				repeat(muster.cond_of(depends_when)::text,
					cardinality(v_needs)), v_least);
		END IF;
		IF v_standing IS NULL THEN
			INSERT INTO muster.arriving VALUES (v_id, enqueue.run_at,
				wake AND muster.wake_work(), enqueue.flow_id);
		END IF;
	ELSIF run_at > clock_timestamp() THEN
		INSERT INTO muster.scheduled VALUES (enqueue.run_at, v_id,
			v_route, v_size, v_rank, 8, 0,
			wake AND muster.wake_earlier(enqueue.run_at), v_lock);
	ELSIF v_lock IS NOT NULL THEN
		INSERT INTO muster.arriving (task_id, wakes, asks)
		VALUES (v_id, wake AND muster.wake_work(), true);
	ELSE
		INSERT INTO muster.ready VALUES (nextval('muster.ready_seq'),
			v_id, clock_timestamp(), v_route, v_size, v_rank, 8,
			0, wake AND muster.wake_count(v_route, 1));
	END IF;
	RETURN v_id;
END
$$;

-- The same, and what came of it: new, kept (the id is that of the task that has
-- the unique key) or replacing.
CREATE OR REPLACE FUNCTION muster.enqueue_unique(kind text,
	payload jsonb DEFAULT '{}', queue text DEFAULT 'default',
	priority int DEFAULT 0, run_at timestamptz DEFAULT NULL,
	depends_on bigint[] DEFAULT NULL, depends_when text DEFAULT 'succeeded',
	flow_id bigint DEFAULT NULL, max_attempts int DEFAULT NULL,
	timeout interval DEFAULT NULL, wake boolean DEFAULT true,
	needs_mode text DEFAULT 'all', unique_key text DEFAULT NULL, unique_for interval DEFAULT NULL,
	on_conflict text DEFAULT 'keep', lock_key text DEFAULT NULL,
	lock_limit int DEFAULT 1)
RETURNS TABLE (id bigint, outcome text) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	id := muster.enqueue(kind, payload, queue, priority, run_at, depends_on,
		depends_when, flow_id, max_attempts, timeout, wake, needs_mode,
		unique_key, unique_for, on_conflict, lock_key, lock_limit);
	outcome := CASE WHEN id <> currval('muster.task_id') THEN 'kept'
		WHEN EXISTS (SELECT FROM muster.arriving a WHERE a.task_id = id
			AND a.replaces IS NOT NULL) THEN 'replacing'
		ELSE 'new' END;
	RETURN NEXT;
END
$$;

-- The letter of a condition in edges.
CREATE OR REPLACE FUNCTION muster.cond_of(p_when text)
RETURNS "char" LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE p_when WHEN 'succeeded' THEN 's' WHEN 'finished' THEN 'a'
		WHEN 'failed' THEN 'f' END::"char"
$$;

-- How many of p_count needs 'all', 'any' or 'at_least K' wants met; null for all.
CREATE OR REPLACE FUNCTION muster.least_of(p_mode text, p_count int)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_least int := CASE WHEN p_mode = 'any' THEN 1
		WHEN p_mode ~ '^at_least [1-9]\d{0,8}$'
		THEN substr(p_mode, 10)::int END;
BEGIN
	IF v_least IS NULL AND p_mode IS DISTINCT FROM 'all' THEN
		RAISE EXCEPTION 'needs_mode % is none of all, any, at_least K',
			coalesce(to_json(p_mode)::text, 'null')
			USING ERRCODE = 'MU003';
	ELSIF v_least > p_count THEN
		RAISE EXCEPTION 'needs_mode %: the task has % needs',
			to_json(p_mode), p_count USING ERRCODE = 'MU003';
	END IF;
	RETURN v_least;
END
$$;

-- The needs in order and without doubles. A task that is not there is refused
-- at once; under an old snapshot it may be there unseen, so that admission,
-- which sees what was committed, has to judge.
CREATE OR REPLACE FUNCTION muster.check_needs(
	p_needs bigint[], p_when text, p_flow bigint)
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	v_needs bigint[];
	v_missing bigint;
BEGIN
	IF muster.cond_of(p_when) IS NULL THEN
		RAISE EXCEPTION 'depends_when % is none of succeeded, finished, '
			'failed', coalesce(to_json(p_when)::text, 'null')
			USING ERRCODE = 'MU003';
	END IF;
	SELECT array_agg(DISTINCT u.id ORDER BY u.id) INTO v_needs
	FROM unnest(p_needs) u(id);
	IF array_position(v_needs, NULL) IS NOT NULL THEN
		RAISE EXCEPTION 'depends_on holds a null'
			USING ERRCODE = 'MU003';
	END IF;
	IF current_setting('transaction_isolation') = 'read committed' THEN
		SELECT u.id INTO v_missing FROM unnest(v_needs) u(id)
		WHERE NOT EXISTS (SELECT FROM muster.task t WHERE t.id = u.id)
		LIMIT 1;
		IF FOUND THEN
			RAISE EXCEPTION 'there is no task %', v_missing
				USING ERRCODE = 'MU003';
		END IF;
		IF p_flow IS NOT NULL AND NOT EXISTS (
				SELECT FROM muster.flow f WHERE f.id = p_flow) THEN
			RAISE EXCEPTION 'there is no flow %', p_flow
				USING ERRCODE = 'MU003';
		END IF;
	END IF;
	RETURN v_needs;
END
$$;

-- Whether a scheduler must be told of a task due at p_run_at: only if it comes
-- before the next it knows. Looks from a little before now on, since what is
-- due is being moved and leaves dead entries behind.
CREATE OR REPLACE FUNCTION muster.wake_earlier(p_run_at timestamptz)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	v_next timestamptz;
BEGIN
	SELECT s.run_at INTO v_next FROM muster.scheduled s
	WHERE s.run_at >= clock_timestamp() - interval '1 s'
	ORDER BY s.run_at LIMIT 1;
	RETURN (v_next IS NULL OR p_run_at < v_next) AND muster.wake_work();
END
$$;

-- Enqueues a task for each payload; their ids in order. priorities[i] and
-- run_ats[i] are those of payloads[i]; null: as priority and run_at say. So are
-- unique_keys[i] and lock_keys[i], which may be null; of one whose unique key is
-- kept, the id is that of the task that has it. Tasks with keys are stored in the
-- order of their unique keys, so that two such calls never wait for each other.
CREATE OR REPLACE FUNCTION muster.enqueue_many(kind text, payloads jsonb[],
	queue text DEFAULT 'default', priority int DEFAULT 0,
	run_at timestamptz DEFAULT NULL, max_attempts int DEFAULT NULL,
	timeout interval DEFAULT NULL, wake boolean DEFAULT true,
	priorities int[] DEFAULT NULL, run_ats timestamptz[] DEFAULT NULL,
	unique_keys text[] DEFAULT NULL, unique_for interval DEFAULT NULL,
	on_conflict text DEFAULT 'keep', lock_keys text[] DEFAULT NULL,
	lock_limit int DEFAULT 1)
RETURNS SETOF bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_count int := coalesce(cardinality(payloads), 0);
	v_texts text[];
	v_ids bigint[];
	v_route int := muster.route_of(queue, kind);
	v_now timestamptz := clock_timestamp();
	v_ready bigint; -- the first that is
	v_later bigint;
	v_next timestamptz;
	v_wakes boolean;
	v_largest int;
BEGIN
	PERFORM muster.check_length('priorities', cardinality(priorities),
			v_count),
		muster.check_length('run_ats', cardinality(run_ats), v_count),
		muster.check_length('unique_keys', cardinality(unique_keys),
			v_count),
		muster.check_length('lock_keys', cardinality(lock_keys), v_count);
	IF v_count = 0 THEN
		RETURN;
	ELSIF unique_keys IS NOT NULL OR lock_keys IS NOT NULL
			OR unique_for IS NOT NULL THEN
		RETURN QUERY SELECT x.id
		FROM (SELECT u.o, muster.enqueue(kind, u.p, queue,
				coalesce(u.rank, priority), coalesce(u.at, run_at),
				max_attempts => enqueue_many.max_attempts,
				timeout => enqueue_many.timeout, wake => enqueue_many.wake,
				unique_key => u.k, unique_for => CASE
					WHEN u.k IS NOT NULL OR unique_keys IS NULL
					THEN enqueue_many.unique_for END,
				on_conflict => enqueue_many.on_conflict, lock_key => u.l,
				lock_limit => enqueue_many.lock_limit) AS id
			FROM (SELECT * FROM unnest(payloads, unique_keys, lock_keys,
					priorities, run_ats)
				WITH ORDINALITY y(p, k, l, rank, at, o)
				ORDER BY y.k, y.o OFFSET 0) u OFFSET 0) x
		ORDER BY x.o;
		RETURN;
	END IF;
	SELECT array_agg(coalesce(u.p, '{}')::text ORDER BY u.o),
		max(octet_length(coalesce(u.p, '{}')::text)),
		array_agg(nextval('muster.task_id'))
	INTO v_texts, v_largest, v_ids
	FROM unnest(payloads) WITH ORDINALITY u(p, o);
	PERFORM muster.check_limits(priority, max_attempts, timeout),
		muster.check_payload(v_largest);
	PERFORM muster.check_limits(u.k, NULL, NULL),
		muster.lane_open(v_route, -u.k, 8)
	FROM (SELECT DISTINCT coalesce(x.k, priority) AS k
		FROM unnest(coalesce(priorities, ARRAY[priority])) x(k)) u;
	INSERT INTO muster.task (id, created_at, timeout_ms, route_id, size,
		max_attempts, rank, lane, payload)
	SELECT u.id, clock_timestamp(), muster.interval_ms(timeout), v_route,
		octet_length(u.p), enqueue_many.max_attempts,
		-coalesce(u.k, priority), 8, u.p
	FROM unnest(v_ids, v_texts, priorities) u(id, p, k);
	SELECT min(u.id) FILTER (WHERE (u.t > v_now) IS NOT TRUE),
		min(u.id) FILTER (WHERE u.t > v_now),
		min(u.t) FILTER (WHERE u.t > v_now),
		count(*) FILTER (WHERE (u.t > v_now) IS NOT TRUE)
	INTO v_ready, v_later, v_next, v_count
	FROM (SELECT x.id, coalesce(x.t, run_at) AS t
		FROM unnest(v_ids, run_ats) x(id, t)) u;
	IF v_later IS NOT NULL THEN
		v_wakes := wake AND muster.wake_earlier(v_next);
		INSERT INTO muster.scheduled
		SELECT coalesce(u.t, run_at), u.id, v_route, octet_length(u.p),
			-coalesce(u.k, priority), 8, 0, v_wakes AND u.id = v_later
		FROM unnest(v_ids, v_texts, priorities, run_ats) u(id, p, k, t)
		WHERE coalesce(u.t, run_at) > v_now;
	END IF;
	IF v_ready IS NOT NULL THEN
		v_wakes := wake AND muster.wake_count(v_route, v_count);
		INSERT INTO muster.ready
		SELECT nextval('muster.ready_seq'), u.id, clock_timestamp(),
			v_route, octet_length(u.p), -coalesce(u.k, priority), 8, 0,
			v_wakes AND u.id = v_ready
		FROM unnest(v_ids, v_texts, priorities, run_ats) u(id, p, k, t)
		WHERE (coalesce(u.t, run_at) > v_now) IS NOT TRUE;
	END IF;
	RETURN QUERY SELECT unnest(v_ids);
END
$$;

-- Refuses an array, if it is given, that has not as many elements as there are
-- payloads.
CREATE OR REPLACE FUNCTION muster.check_length(
	p_name text, p_length int, p_count int)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF p_length <> p_count THEN
		RAISE EXCEPTION '% payloads, but % %', p_count, p_length, p_name
			USING ERRCODE = 'MU003';
	END IF;
END
$$;
