-- Schedules: what runs by the clock, once a tick across all hosts. Ticks are
-- judged by the database's clock. Those of `every` are whole multiples of it
-- since 1970 in UTC, so that all agree on them.

-- The first tick after a moment.
CREATE OR REPLACE FUNCTION muster.schedule_tick(
	p_schedule muster.schedule, p_after timestamptz)
RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
DECLARE
	v_every bigint := p_schedule.every_ms;
BEGIN
	IF v_every IS NULL THEN
		RETURN muster.cron_after(muster.cron_parse(p_schedule.cron),
			p_schedule.timezone, p_after);
	END IF;
	RETURN 'epoch'::timestamptz + interval '1 ms' * (v_every * (1
		+ floor(extract(epoch FROM p_after) * 1000 / v_every)));
END
$$;

-- The last tick until now, given one that is.
CREATE OR REPLACE FUNCTION muster.schedule_newest(
	p_schedule muster.schedule, p_tick timestamptz, p_now timestamptz)
RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
DECLARE
	v_tick timestamptz := p_tick;
	v_none timestamptz := p_now; -- no tick after it until now
	v_next timestamptz;
	v_look timestamptz;
BEGIN
	IF p_schedule.every_ms IS NOT NULL THEN
		RETURN muster.schedule_tick(p_schedule, p_now)
			- interval '1 ms' * p_schedule.every_ms;
	END IF;
	LOOP
		v_next := muster.schedule_tick(p_schedule, v_tick);
		IF v_next > p_now THEN
			RETURN v_tick;
		END IF;
		v_tick := v_next;
		v_look := v_tick + (v_none - v_tick) / 2;
		v_next := muster.schedule_tick(p_schedule, v_look);
		IF v_next <= p_now THEN
			v_tick := v_next;
		ELSE
			v_none := v_look;
		END IF;
	END LOOP;
END
$$;

-- When a tick is to be fired: up to its jitter later, always the same for the
-- same tick.
CREATE OR REPLACE FUNCTION muster.schedule_at(
	p_schedule muster.schedule, p_tick timestamptz)
RETURNS timestamptz LANGUAGE sql STABLE AS $$
	SELECT p_tick + interval '1 ms' * ((hashtextextended(p_schedule.name
		|| ' ' || extract(epoch FROM p_tick), 0) & 9223372036854775807)
		% (p_schedule.jitter_ms + 1))
$$;

-- Changing schedules. Clients come one after the other; a scheduler, which
-- must wait for none of them, comes again later. Nobody needs to be woken:
-- schedulers look once a second.

CREATE OR REPLACE FUNCTION muster.schedule_check_zones(p_zones text[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_zone text;
BEGIN
	SELECT u.zone INTO v_zone FROM unnest(p_zones) u(zone)
	WHERE u.zone IS DISTINCT FROM 'UTC' AND NOT EXISTS (
		SELECT FROM pg_timezone_names z WHERE z.name = u.zone) LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'there is no time zone %',
			coalesce(to_json(v_zone)::text, 'null')
			USING ERRCODE = 'MU003', HINT = 'The view '
				'pg_timezone_names has all.';
	END IF;
END
$$;

-- Refuses what no schedule may have; its time zone was checked.
CREATE OR REPLACE FUNCTION muster.schedule_check(p_new muster.schedule)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM muster.check_name('schedule', p_new.name),
		muster.check_name('kind', p_new.kind),
		muster.check_name('queue', p_new.queue),
		muster.check_limits(p_new.priority, p_new.max_attempts,
			p_new.timeout_ms * interval '1 ms'),
		muster.check_payload(octet_length(p_new.payload::text));
	IF (p_new.every_ms IS NULL) = (p_new.cron IS NULL) THEN
		RAISE EXCEPTION 'a schedule needs either every or cron'
			USING ERRCODE = 'MU003';
	ELSIF p_new.every_ms NOT BETWEEN 1000 AND 31536000000 THEN
		RAISE EXCEPTION 'every is not between 1 s and 365 days'
			USING ERRCODE = 'MU003';
	ELSIF (p_new.missed = ANY ('{skip,run_once,run_all}')) IS NOT TRUE THEN
		RAISE EXCEPTION 'missed is none of skip, run_once, run_all'
			USING ERRCODE = 'MU003';
	ELSIF (p_new.overlap = ANY ('{skip,queue,allow}')) IS NOT TRUE THEN
		RAISE EXCEPTION 'overlap is none of skip, queue, allow'
			USING ERRCODE = 'MU003';
	ELSIF (p_new.jitter_ms BETWEEN 0 AND 86400000) IS NOT TRUE THEN
		RAISE EXCEPTION 'jitter is not between 0 and 1 day'
			USING ERRCODE = 'MU003';
	END IF;
END
$$;

-- Stores a schedule, in place of one of the same name; one that has the same
-- ticks keeps its next, and it stays paused. Whether that was a change. The
-- caller holds the lock of changes.
CREATE OR REPLACE FUNCTION muster.schedule_store(p_new muster.schedule)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	v_new muster.schedule := p_new;
	v_old muster.schedule;
	v_known boolean;
BEGIN
	PERFORM muster.schedule_check(v_new);
	SELECT * INTO v_old FROM muster.schedule s
	WHERE s.name = v_new.name FOR UPDATE;
	v_known := FOUND;
	v_new.behind := 0;
	IF v_known THEN
		v_new.paused_at := v_old.paused_at;
		v_new.last_tick := v_old.last_tick;
		v_new.last_task := v_old.last_task;
		v_new.last_outcome := v_old.last_outcome;
	END IF;
	IF v_known AND (v_new.every_ms, v_new.cron, v_new.timezone,
			v_new.jitter_ms) IS NOT DISTINCT FROM (v_old.every_ms,
			v_old.cron, v_old.timezone, v_old.jitter_ms) THEN
		v_new.behind := v_old.behind;
		v_new.next_tick := v_old.next_tick;
		v_new.next_at := v_old.next_at;
	ELSE
		v_new.next_tick := muster.schedule_tick(v_new,
			greatest(clock_timestamp(), v_new.last_tick));
		IF v_new.paused_at IS NULL THEN
			v_new.next_at := muster.schedule_at(v_new,
				v_new.next_tick);
		END IF;
	END IF;
	IF v_known THEN
		IF v_new IS NOT DISTINCT FROM v_old THEN
			RETURN false;
		END IF;
		DELETE FROM muster.schedule s WHERE s.name = v_new.name;
	END IF;
	INSERT INTO muster.schedule SELECT v_new.*;
	RETURN true;
END
$$;

CREATE OR REPLACE FUNCTION muster.schedule_lock()
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended('muster schedules', 0));
END
$$;

-- Stores a named schedule, in place of one of that name wherever it came from.
-- Gives its next tick.
CREATE OR REPLACE FUNCTION muster.schedule(name text, kind text,
	every interval DEFAULT NULL, cron text DEFAULT NULL,
	timezone text DEFAULT 'UTC', payload jsonb DEFAULT '{}',
	queue text DEFAULT 'default', priority int DEFAULT 0,
	max_attempts int DEFAULT NULL, timeout interval DEFAULT NULL,
	missed text DEFAULT 'run_once', overlap text DEFAULT 'skip',
	jitter interval DEFAULT '0')
RETURNS timestamptz LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_new muster.schedule;
BEGIN
	PERFORM muster.schedule_check_zones(ARRAY[timezone]),
		muster.schedule_lock();
	v_new.name := name;
	v_new.kind := kind;
	v_new.every_ms := (extract(epoch FROM every) * 1000)::bigint;
	v_new.cron := cron;
	v_new.timezone := timezone;
	v_new.payload := coalesce(payload, '{}');
	v_new.queue := queue;
	v_new.priority := priority;
	v_new.max_attempts := max_attempts;
	v_new.timeout_ms := muster.interval_ms(timeout);
	v_new.missed := missed;
	v_new.overlap := overlap;
	v_new.jitter_ms := (extract(epoch FROM jitter) * 1000)::bigint;
	PERFORM muster.schedule_store(v_new);
	RETURN (SELECT s.next_tick FROM muster.schedule s
		WHERE s.name = v_new.name);
END
$$;

-- Removes a schedule; whether there was one. Its runs stay for a while.
CREATE OR REPLACE FUNCTION muster.unschedule(name text)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM muster.schedule_lock();
	DELETE FROM muster.schedule s WHERE s.name = unschedule.name;
	RETURN FOUND;
END
$$;

-- Fires no tick any more until it is resumed; whether that was a change.
CREATE OR REPLACE FUNCTION muster.pause_schedule(name text)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM muster.schedule_lock();
	UPDATE muster.schedule s SET paused_at = now(), next_at = NULL
	WHERE s.name = pause_schedule.name AND s.paused_at IS NULL;
	RETURN FOUND;
END
$$;

-- Ends a pause: the next tick is the first after now, those of the pause are
-- not missed ones.
CREATE OR REPLACE FUNCTION muster.resume_schedule(name text)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_one muster.schedule;
BEGIN
	PERFORM muster.schedule_lock();
	SELECT * INTO v_one FROM muster.schedule s
	WHERE s.name = resume_schedule.name AND s.paused_at IS NOT NULL
	FOR UPDATE;
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	v_one.next_tick := muster.schedule_tick(v_one,
		greatest(clock_timestamp(), v_one.last_tick));
	UPDATE muster.schedule s SET paused_at = NULL, behind = 0,
		next_tick = v_one.next_tick,
		next_at = muster.schedule_at(v_one, v_one.next_tick)
	WHERE s.name = v_one.name;
	RETURN true;
END
$$;

-- Called by a scheduler: what its configuration says, {"name": {columns of
-- muster.schedule}}. Those that this instance brought before and that are not
-- among them vanish; of what two instances bring, and SQL, the newest holds.
-- How many were changed and removed; nulls if others are changing schedules
-- just now: come again. Locks: schedule, by name.
CREATE OR REPLACE FUNCTION muster.schedules_sync(
	p_instance text, p_schedules jsonb)
RETURNS TABLE (changed int, removed int) LANGUAGE plpgsql AS $$
DECLARE
	v_new muster.schedule;
	v_item jsonb;
	v_name text;
BEGIN
	PERFORM muster.check_isolation();
	IF NOT pg_try_advisory_xact_lock(
			hashtextextended('muster schedules', 0)) THEN
		RETURN NEXT;
		RETURN;
	END IF;
	PERFORM muster.schedule_check_zones(ARRAY(
		SELECT DISTINCT j.value ->> 'timezone'
		FROM jsonb_each(p_schedules) j));
	changed := 0;
	FOR v_name, v_item IN SELECT j.key, j.value
			FROM jsonb_each(p_schedules) j ORDER BY j.key LOOP
		v_new := jsonb_populate_record(NULL::muster.schedule, v_item);
		v_new.name := v_name;
		v_new.source := p_instance;
		BEGIN
			changed := changed + muster.schedule_store(v_new)::int;
		EXCEPTION WHEN SQLSTATE 'MU003' THEN
			RAISE EXCEPTION 'schedule %: %', v_name, SQLERRM
				USING ERRCODE = 'MU003';
		END;
	END LOOP;
	DELETE FROM muster.schedule s WHERE s.source = p_instance
		AND NOT p_schedules ? s.name;
	GET DIAGNOSTICS removed = ROW_COUNT;
	RETURN NEXT;
END
$$;
