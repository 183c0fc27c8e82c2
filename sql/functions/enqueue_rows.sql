-- Enqueuing by COPY or INSERT: a view without rows; what is inserted becomes
-- tasks by the end of the statement, those of a queue and kind in the order of
-- the rows. What is not given, or null, is as enqueue_many() has it. A row that
-- its unique key keeps out is not among those that INSERT counts and returns (COPY
-- counts what it reads). Two such statements that have unique keys in common may
-- meet crosswise, and the server then ends one of them (40P01), unless both bring
-- them in the same order.
--
-- A task by itself would cost twice as much. So a row is only checked and
-- put with others into muster.rows, a setting of the transaction (JSON, without
-- the brackets), whose content is enqueued when there is enough of it and at
-- the end of the statement. muster.row is the number of the last one. What has a
-- key is enqueued by itself.

CREATE OR REPLACE VIEW muster.enqueue_rows AS
SELECT NULL::text AS kind, NULL::jsonb AS payload, NULL::text AS queue,
	NULL::int AS priority, NULL::timestamptz AS run_at,
	NULL::int AS max_attempts, NULL::interval AS timeout,
	NULL::text AS unique_key, NULL::interval AS unique_for,
	NULL::text AS on_conflict, NULL::text AS lock_key,
	NULL::int AS lock_limit
WHERE false;

CREATE OR REPLACE FUNCTION muster.enqueue_rows_begin()
RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('muster.row', '0', true),
		set_config('muster.rows',
			coalesce(current_setting('muster.rows', true), ''), true);
	RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION muster.enqueue_rows_row()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_number int := current_setting('muster.row')::int + 1;
	v_row text;
	v_rows text := current_setting('muster.rows');
BEGIN
	IF NEW.unique_key IS NOT NULL OR NEW.lock_key IS NOT NULL
			OR NEW.unique_for IS NOT NULL THEN
		RETURN CASE WHEN muster.enqueue_keyed(NEW, v_number) THEN NEW END;
	END IF;
	v_row := json_build_array(NEW.kind, NEW.payload, NEW.queue, NEW.priority,
		NEW.run_at, NEW.max_attempts, NEW.timeout);
	IF octet_length(v_row) > 1000 OR NEW.kind IS NULL OR NEW.priority
			NOT BETWEEN -1000 AND 1000 OR NEW.max_attempts IS NOT NULL
			OR NEW.timeout IS NOT NULL THEN
		PERFORM muster.check_row(NEW, v_number);
	END IF;
	v_rows := CASE v_rows WHEN '' THEN v_row ELSE v_rows || ',' || v_row END;
	-- Assignments, since that is a third of the cost of a PERFORM.
	v_row := set_config('muster.row', v_number::text, true);
	v_row := set_config('muster.rows', v_rows, true);
	IF octet_length(v_rows) > 16000 THEN
		PERFORM muster.enqueue_gathered();
	END IF;
	RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION muster.enqueue_rows_end()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM muster.enqueue_gathered();
	RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION muster.enqueue_gathered()
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_rows jsonb := '[' || current_setting('muster.rows') || ']';
	v_before int := current_setting('muster.row')::int
		- jsonb_array_length(v_rows);
	v_group record;
BEGIN
	PERFORM set_config('muster.rows', '', true);
	FOR v_group IN
		SELECT r.kind, coalesce(r.queue, 'default') AS queue,
			r.max_attempts, r.timeout, min(r.o) AS first,
			array_agg(r.payload ORDER BY r.o) AS payloads,
			array_agg(r.priority ORDER BY r.o) AS priorities,
			array_agg(r.run_at ORDER BY r.o) AS run_ats
		FROM (SELECT x.o, x.r ->> 0 AS kind,
				nullif(x.r -> 1, 'null') AS payload,
				x.r ->> 2 AS queue, (x.r ->> 3)::int AS priority,
				(x.r ->> 4)::timestamptz AS run_at,
				(x.r ->> 5)::int AS max_attempts,
				(x.r ->> 6)::interval AS timeout
			FROM jsonb_array_elements(v_rows)
				WITH ORDINALITY x(r, o) OFFSET 0) r
		GROUP BY 1, 2, 3, 4 ORDER BY first LOOP
		IF NOT EXISTS (SELECT FROM muster.route r
				WHERE r.queue = v_group.queue
				AND r.kind = v_group.kind) THEN
			PERFORM muster.check_row((v_group.kind, NULL,
				v_group.queue, NULL, NULL, NULL, NULL, NULL,
				NULL, NULL, NULL, NULL),
				v_before + v_group.first::int);
		END IF;
		PERFORM muster.enqueue_many(v_group.kind, v_group.payloads,
			v_group.queue, max_attempts => v_group.max_attempts,
			timeout => v_group.timeout,
			priorities => v_group.priorities,
			run_ats => v_group.run_ats);
	END LOOP;
END
$$;

-- A row with a key, after those before it; false if another task has its unique
-- key and is kept.
CREATE OR REPLACE FUNCTION muster.enqueue_keyed(
	p_row muster.enqueue_rows, p_number int)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	v_conflict CONSTANT text := coalesce(p_row.on_conflict, 'keep');
	v_id bigint;
BEGIN
	IF current_setting('muster.rows') <> '' THEN
		PERFORM muster.enqueue_gathered();
	END IF;
	PERFORM set_config('muster.row', p_number::text, true),
		muster.check_row(p_row, p_number);
	v_id := muster.enqueue(p_row.kind, nullif(p_row.payload, 'null'),
		coalesce(p_row.queue, 'default'), coalesce(p_row.priority, 0),
		p_row.run_at, max_attempts => p_row.max_attempts,
		timeout => p_row.timeout, unique_key => p_row.unique_key,
		unique_for => p_row.unique_for, on_conflict => CASE v_conflict
			WHEN 'error' THEN 'keep' ELSE v_conflict END,
		lock_key => p_row.lock_key,
		lock_limit => coalesce(p_row.lock_limit, 1));
	IF v_id = currval('muster.task_id') THEN
		RETURN true;
	ELSIF v_conflict = 'error' THEN
		PERFORM muster.unique_refuse(p_row.unique_key, v_id,
			format('row %s: ', p_number));
	END IF;
	RETURN false;
END
$$;

-- Refuses a row that is wrong and says which it is.
CREATE OR REPLACE FUNCTION muster.check_row(
	p_row muster.enqueue_rows, p_number int)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_said text;
	v_hint text;
BEGIN
	PERFORM muster.check_name('kind', p_row.kind),
		muster.check_name('queue', coalesce(p_row.queue, 'default')),
		muster.check_limits(coalesce(p_row.priority, 0),
			p_row.max_attempts, p_row.timeout),
		muster.check_payload(octet_length(p_row.payload::text));
	PERFORM muster.check_keys(p_row.unique_key, p_row.unique_for,
			coalesce(p_row.on_conflict, 'keep'), p_row.lock_key,
			coalesce(p_row.lock_limit, 1))
	WHERE p_row.unique_key IS NOT NULL OR p_row.lock_key IS NOT NULL
		OR p_row.unique_for IS NOT NULL;
EXCEPTION WHEN SQLSTATE 'MU003' THEN
	GET STACKED DIAGNOSTICS v_said = MESSAGE_TEXT,
		v_hint = PG_EXCEPTION_HINT;
	RAISE EXCEPTION 'row %: %', p_number, v_said
		USING ERRCODE = 'MU003', HINT = v_hint;
END
$$;

CREATE OR REPLACE TRIGGER enqueue_rows_begin BEFORE INSERT
	ON muster.enqueue_rows
	FOR EACH STATEMENT EXECUTE FUNCTION muster.enqueue_rows_begin();
CREATE OR REPLACE TRIGGER enqueue_rows_row INSTEAD OF INSERT
	ON muster.enqueue_rows
	FOR EACH ROW EXECUTE FUNCTION muster.enqueue_rows_row();
CREATE OR REPLACE TRIGGER enqueue_rows_end AFTER INSERT
	ON muster.enqueue_rows
	FOR EACH STATEMENT EXECUTE FUNCTION muster.enqueue_rows_end();
