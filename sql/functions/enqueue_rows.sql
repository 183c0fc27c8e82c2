-- Enqueuing by COPY or INSERT: a view without rows; what is inserted becomes
-- tasks by the end of the statement, those of a queue and kind in the order of
-- the rows. What is not given, or null, is as enqueue_many() has it.
--
-- A task by itself would cost twice as much. So a row is only checked and
-- put with others into muster.rows, a setting of the transaction (JSON, without
-- the brackets), whose content is enqueued when there is enough of it and at
-- the end of the statement. muster.row is the number of the last one.

CREATE OR REPLACE VIEW muster.enqueue_rows AS
SELECT NULL::text AS kind, NULL::jsonb AS payload, NULL::text AS queue,
	NULL::int AS priority, NULL::timestamptz AS run_at,
	NULL::int AS max_attempts, NULL::interval AS timeout
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
	v_row text := row_to_json(NEW);
	v_rows text := current_setting('muster.rows');
BEGIN
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
	v_rows json := '[' || current_setting('muster.rows') || ']';
	v_before int := current_setting('muster.row')::int
		- json_array_length(v_rows);
	v_group record;
BEGIN
	PERFORM set_config('muster.rows', '', true);
	FOR v_group IN
		SELECT r.kind, coalesce(r.queue, 'default') AS queue,
			r.max_attempts, r.timeout, min(r.o) AS first,
			array_agg(r.payload ORDER BY r.o) AS payloads,
			array_agg(r.priority ORDER BY r.o) AS priorities,
			array_agg(r.run_at ORDER BY r.o) AS run_ats
		FROM json_populate_recordset(NULL::muster.enqueue_rows, v_rows)
			WITH ORDINALITY r(kind, payload, queue, priority, run_at,
				max_attempts, timeout, o)
		GROUP BY 1, 2, 3, 4 ORDER BY first LOOP
		IF NOT EXISTS (SELECT FROM muster.route r
				WHERE r.queue = v_group.queue
				AND r.kind = v_group.kind) THEN
			PERFORM muster.check_row((v_group.kind, NULL,
				v_group.queue, NULL, NULL, NULL, NULL),
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
