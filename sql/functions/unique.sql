-- Unique keys: of those who want one, only one is stored. The unique index alone
-- decides; nothing is read before it is written.

-- Refuses keys that nobody could mean.
CREATE OR REPLACE FUNCTION muster.check_keys(p_unique text, p_for interval,
	p_conflict text, p_lock text, p_limit int)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF length(p_unique) NOT BETWEEN 1 AND 500 THEN
		RAISE EXCEPTION 'a unique_key has 1 to 500 characters'
			USING ERRCODE = 'MU003';
	ELSIF p_for IS NOT NULL AND p_unique IS NULL THEN
		RAISE EXCEPTION 'unique_for needs a unique_key'
			USING ERRCODE = 'MU003';
	ELSIF p_for <= '0' OR p_for > '10 years' THEN
		RAISE EXCEPTION 'unique_for % is not between 1 ms and 10 years',
			p_for USING ERRCODE = 'MU003';
	ELSIF coalesce(p_conflict, '') NOT IN ('keep', 'replace', 'error') THEN
		RAISE EXCEPTION 'on_conflict % is none of keep, replace, error',
			coalesce(to_json(p_conflict)::text, 'null')
			USING ERRCODE = 'MU003';
	ELSIF length(p_lock) NOT BETWEEN 1 AND 500 THEN
		RAISE EXCEPTION 'a lock_key has 1 to 500 characters'
			USING ERRCODE = 'MU003';
	ELSIF p_lock IS NOT NULL
			AND coalesce(p_limit, 0) NOT BETWEEN 1 AND 1000000 THEN
		RAISE EXCEPTION 'lock_limit % is not between 1 and 1000000',
			coalesce(p_limit::text, 'null') USING ERRCODE = 'MU003';
	END IF;
END
$$;

-- Takes the key for the task p_id, for p_for or (null) until it ends. Null: it has
-- it; else the task that keeps it. Waits for a transaction that has just taken
-- or given up the key, and goes by its outcome. Where an older snapshot does not
-- see the one that holds it, the server's 40001 says so.
-- Called by clients: the only rows they lock are those whose time is over.
CREATE OR REPLACE FUNCTION muster.unique_take(
	p_id bigint, p_key text, p_for interval)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	v_holder bigint;
	v_over boolean;
BEGIN
	LOOP
		INSERT INTO muster.unique_key
		VALUES (p_key, p_id, clock_timestamp() + p_for)
		ON CONFLICT DO NOTHING;
		IF FOUND THEN
			RETURN NULL;
		END IF;
		SELECT u.task_id, u.until <= clock_timestamp()
		INTO v_holder, v_over
		FROM muster.unique_key u WHERE u.key = p_key;
		IF v_over THEN
			DELETE FROM muster.unique_key u
			WHERE u.key = p_key AND u.until <= clock_timestamp();
		ELSIF FOUND THEN
			RETURN v_holder;
		END IF;
	END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION muster.unique_refuse(
	p_key text, p_holder bigint, p_what text DEFAULT '')
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION '%unique key % is held by task %', p_what,
		to_json(p_key), p_holder USING ERRCODE = 'MU006';
END
$$;

-- The new task p_id, which stands in arriving, asks for the key of another.
CREATE OR REPLACE FUNCTION muster.unique_replace(p_id bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO muster.request (verb, target, wakes)
	VALUES ('replace', p_id, true);
END
$$;

-- These tasks have ended, or give up their keys; those over a period stay.
-- Waits for no client, since none locks such a row.
CREATE OR REPLACE FUNCTION muster.unique_free(p_ids bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM muster.unique_key u
	WHERE u.task_id = ANY (p_ids) AND u.until IS NULL;
END
$$;

-- A task that was brought back, or that replaces another, takes its key. Gives
-- who holds it after that: the task itself, or another. Null: some client is
-- just taking it, which is waited for no longer than a moment.
CREATE OR REPLACE FUNCTION muster.unique_retake(
	p_id bigint, p_key text, p_until timestamptz)
RETURNS bigint LANGUAGE plpgsql SET lock_timeout = '1ms' AS $$
DECLARE
	v_row record;
BEGIN
	FOR i IN 1 .. 3 LOOP
		INSERT INTO muster.unique_key VALUES (p_key, p_id, p_until)
		ON CONFLICT DO NOTHING;
		IF FOUND THEN
			RETURN p_id;
		END IF;
		SELECT u.task_id, u.until <= clock_timestamp() AS over INTO v_row
		FROM muster.unique_key u WHERE u.key = p_key;
		IF FOUND AND v_row.over IS NOT TRUE THEN
			RETURN v_row.task_id;
		END IF;
		DELETE FROM muster.unique_key u WHERE u.ctid = ANY (ARRAY(
			SELECT x.ctid FROM muster.unique_key x WHERE x.key = p_key
				AND x.until <= clock_timestamp()
			FOR UPDATE SKIP LOCKED));
	END LOOP;
	RETURN NULL;
EXCEPTION WHEN lock_not_available THEN
	RETURN NULL;
END
$$;

-- Those of these ended tasks (ascending, locked) that may run again: they have
-- no unique key, or have it again. The others are told why they stay as they are.
CREATE OR REPLACE FUNCTION muster.unique_reopen(p_ids bigint[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	v_task record;
	v_holder bigint;
	v_stay bigint[];
BEGIN
	FOR v_task IN SELECT t.id, t.unique_key FROM muster.task t
			WHERE t.id = ANY (p_ids) AND t.unique_key IS NOT NULL
			ORDER BY t.id LOOP
		v_holder := muster.unique_retake(v_task.id, v_task.unique_key,
			NULL);
		CONTINUE WHEN v_holder = v_task.id;
		v_stay := v_stay || v_task.id;
		UPDATE muster.task t SET error = format('its unique key %s is %s',
			to_json(v_task.unique_key), coalesce('held by task '
			|| v_holder, 'just being taken by another'))
		WHERE t.id = v_task.id;
	END LOOP;
	RETURN muster.without(p_ids, v_stay);
END
$$;

-- Hands a key over to a newer task, as carry_out() does it. The one that stood
-- for it is cancelled unless it runs: then it is left to end without the key.
CREATE OR REPLACE FUNCTION muster.do_replace(
	p_request muster.request, p_alone boolean)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_id CONSTANT bigint := p_request.target;
	v_key text;
	v_until timestamptz;
	v_holder bigint;
BEGIN
	SELECT a.replaces, a.until INTO v_key, v_until FROM muster.arriving a
	WHERE a.task_id = v_id;
	IF NOT FOUND THEN -- cancelled
		DELETE FROM muster.request r WHERE r.id = p_request.id;
		RETURN 1;
	ELSIF NOT p_alone THEN
		RETURN 0;
	END IF;
	v_holder := muster.unique_retake(v_id, v_key, v_until);
	IF v_holder > v_id THEN
		PERFORM FROM muster.task t WHERE t.id = v_id
		FOR UPDATE SKIP LOCKED;
		IF NOT FOUND THEN
			RETURN 0;
		END IF;
		PERFORM muster.cancel_tasks(ARRAY[v_id],
			'replaced by task ' || v_holder, true);
	ELSIF v_holder < v_id THEN
		IF NOT muster.unique_end(v_holder, v_id, v_key)
				OR muster.unique_retake(v_id, v_key, v_until)
				IS DISTINCT FROM v_id THEN
			RETURN 0;
		END IF;
	ELSIF v_holder IS NULL THEN
		RETURN 0;
	END IF;
	UPDATE muster.arriving a SET replaces = NULL, until = NULL
	WHERE a.task_id = v_id;
	PERFORM muster.announce_work();
	DELETE FROM muster.request r WHERE r.id = p_request.id;
	RETURN 1;
END
$$;

-- Takes the key from p_old, cancelling it unless it runs or has ended. False: some
-- other transaction has to do with it just now. p_old gone: nothing is cancelled.
CREATE OR REPLACE FUNCTION muster.unique_end(
	p_old bigint, p_new bigint, p_key text)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	v_state "char";
BEGIN
	SELECT t.state INTO v_state FROM muster.task t
	WHERE t.id = p_old FOR UPDATE SKIP LOCKED;
	IF NOT FOUND THEN
		IF EXISTS (SELECT FROM muster.task t WHERE t.id = p_old) THEN
			RETURN false;
		END IF;
	ELSIF v_state IS NULL AND NOT EXISTS (SELECT FROM muster.lease l
			WHERE p_old = ANY (l.task_ids)) THEN
		IF (muster.cancel_tasks(ARRAY[p_old], 'replaced by task '
				|| p_new, true)).o_gone IS NULL THEN
			RETURN false;
		END IF;
	END IF;
	DELETE FROM muster.unique_key u WHERE u.ctid = ANY (ARRAY(
		SELECT x.ctid FROM muster.unique_key x
		WHERE x.key = p_key AND x.task_id = p_old
		FOR UPDATE SKIP LOCKED));
	RETURN true;
END
$$;

-- Periods that are over. Whether there are more.
CREATE OR REPLACE FUNCTION muster.purge_unique(p_limit int)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	v_gone int;
BEGIN
	DELETE FROM muster.unique_key u WHERE u.ctid = ANY (ARRAY(
		SELECT x.ctid FROM muster.unique_key x WHERE x.until <= now()
		ORDER BY x.until LIMIT p_limit FOR UPDATE SKIP LOCKED));
	GET DIAGNOSTICS v_gone = ROW_COUNT;
	RETURN v_gone = p_limit;
END
$$;
