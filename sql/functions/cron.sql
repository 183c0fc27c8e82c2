-- Cron expressions: five fields (minute hour day month weekday), or six with
-- seconds first. The same syntax is checked in C, by common/cron.c.
--
-- Parsed, an expression is an array of texts of 0 and 1, a digit a value:
-- 1 seconds, 2 minutes, 3 hours, 4 days of the month (from 1), 5 months (from
-- 1), 6 weekdays (from Sunday), 7 last weekdays of a month; then single
-- letters: 8 the last day of the month, 9 whether a day must match both its
-- fields, 10 whether every hour matches.

-- The first digit from p_at (0: the first) on that is 1; null: none.
CREATE OR REPLACE FUNCTION muster.cron_from(p_mask text, p_at int)
RETURNS int LANGUAGE sql IMMUTABLE AS $$
	SELECT p_at - 1 + nullif(strpos(substr(p_mask, p_at + 1), '1'), 0)
$$;

-- A number or name of a field.
CREATE OR REPLACE FUNCTION muster.cron_value(
	p_text text, p_what text, p_min int, p_max int, p_names text[])
RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	v_value int := CASE WHEN p_text ~ '^[0-9]{1,3}$' THEN p_text::int
		ELSE array_position(p_names, p_text) - 1 + p_min END;
BEGIN
	IF v_value IS NULL THEN
		RAISE EXCEPTION '%: % is no value', p_what, to_json(p_text)
			USING ERRCODE = 'MU003';
	ELSIF v_value NOT BETWEEN p_min AND p_max THEN
		RAISE EXCEPTION '%: % is out of range, % to %', p_what, v_value,
			p_min, p_max USING ERRCODE = 'MU003';
	END IF;
	RETURN v_value;
END
$$;

-- One item of a field: *, N, N-M, each with /STEP; N/STEP goes to the end.
CREATE OR REPLACE FUNCTION muster.cron_item(
	p_item text, p_what text, p_min int, p_max int, p_names text[])
RETURNS int[] LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	-- A week from Sunday to Saturday, whose Sunday may be called 7.
	v_week boolean := p_what = 'weekday';
	v_part text[] := regexp_match(p_item,
		'^(?:(\*)|([a-z0-9]+)(?:-([a-z0-9]+))?)(?:/([0-9]{1,3}))?$');
	v_from int := p_min;
	v_to int := p_max - v_week::int;
	v_step int := coalesce(v_part[4]::int, 1);
BEGIN
	IF v_part IS NULL THEN
		RAISE EXCEPTION '%: % is none of *, N, N-M and these with /STEP',
			p_what, to_json(left(p_item, 40)) USING ERRCODE = 'MU003';
	ELSIF v_step NOT BETWEEN 1 AND p_max THEN
		RAISE EXCEPTION '%: the step % is out of range, 1 to %', p_what,
			v_step, p_max USING ERRCODE = 'MU003';
	END IF;
	IF v_part[1] IS NULL THEN
		v_from := muster.cron_value(v_part[2], p_what, p_min, p_max,
			p_names);
		IF v_part[3] IS NOT NULL THEN
			v_to := muster.cron_value(v_part[3], p_what, p_min,
				p_max, p_names);
			IF v_week AND v_to = 0 AND v_from > 0 THEN
				v_to := 7;
			END IF;
		ELSIF v_part[4] IS NULL THEN
			v_to := v_from;
		ELSE
			v_to := greatest(v_to, v_from);
		END IF;
	END IF;
	IF v_from > v_to THEN
		RAISE EXCEPTION '%: the range % is the wrong way round', p_what,
			to_json(left(p_item, 40)) USING ERRCODE = 'MU003';
	END IF;
	RETURN ARRAY(SELECT CASE WHEN v_week THEN x % 7 ELSE x END - p_min
		FROM generate_series(v_from, v_to, v_step) x);
END
$$;

-- A field without its L items: a digit a value. Null: nothing but L.
CREATE OR REPLACE FUNCTION muster.cron_field(
	p_field text, p_what text, p_min int, p_max int, p_names text[])
RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	v_size int := p_max - p_min + 1 - (p_what = 'weekday')::int;
	v_mask text := repeat('0', v_size);
	v_item text;
	v_at int;
BEGIN
	IF p_field IN ('*', '*/1') THEN
		RETURN repeat('1', v_size);
	END IF;
	FOREACH v_item IN ARRAY string_to_array(p_field, ',') LOOP
		CONTINUE WHEN p_what = 'day' AND v_item = 'l';
		CONTINUE WHEN p_what = 'weekday' AND v_item ~ '^[a-z0-9]+l$';
		FOREACH v_at IN ARRAY muster.cron_item(v_item, p_what, p_min,
				p_max, p_names) LOOP
			v_mask := overlay(v_mask PLACING '1' FROM v_at + 1 FOR 1);
		END LOOP;
	END LOOP;
	RETURN v_mask;
END
$$;

-- The weekdays of which the last in a month is meant: 5L, friL.
CREATE OR REPLACE FUNCTION muster.cron_last(p_field text, p_names text[])
RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	v_mask text := repeat('0', 7);
	v_item text;
BEGIN
	FOREACH v_item IN ARRAY string_to_array(p_field, ',') LOOP
		CONTINUE WHEN v_item !~ '^[a-z0-9]+l$';
		v_mask := overlay(v_mask PLACING '1' FROM 1 + muster.cron_value(
			left(v_item, -1), 'weekday', 0, 7, p_names) % 7 FOR 1);
	END LOOP;
	RETURN v_mask;
END
$$;

-- Parses an expression; raises MU003 with what is wrong with it.
CREATE OR REPLACE FUNCTION muster.cron_parse(p_cron text)
RETURNS text[] LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	v_text text := btrim(lower(p_cron COLLATE "C"), E' \t');
	v_months text[] := '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}';
	v_days text[] := '{sun,mon,tue,wed,thu,fri,sat}';
	v_field text[];
	v_set text[];
BEGIN
	IF v_text LIKE '@%' THEN
		v_text := CASE v_text WHEN '@yearly' THEN '0 0 1 1 *'
			WHEN '@annually' THEN '0 0 1 1 *'
			WHEN '@monthly' THEN '0 0 1 * *'
			WHEN '@weekly' THEN '0 0 * * 0'
			WHEN '@daily' THEN '0 0 * * *'
			WHEN '@midnight' THEN '0 0 * * *'
			WHEN '@hourly' THEN '0 * * * *' END;
		IF v_text IS NULL THEN
			RAISE EXCEPTION '% is none of @hourly, @daily, @midnight, '
				'@weekly, @monthly, @yearly, @annually',
				to_json(left(p_cron, 40)) USING ERRCODE = 'MU003';
		END IF;
	END IF;
	v_field := regexp_split_to_array(v_text, '[ \t]+');
	IF v_text IS NULL OR cardinality(v_field) NOT BETWEEN 5 AND 6
			OR length(v_text) > 500 THEN
		RAISE EXCEPTION 'not five fields (minute hour day month weekday), '
			'or six with seconds first' USING ERRCODE = 'MU003';
	ELSIF cardinality(v_field) = 5 THEN
		v_field := ARRAY['0'] || v_field;
	END IF;
	v_set := ARRAY[muster.cron_field(v_field[1], 'second', 0, 59, NULL),
		muster.cron_field(v_field[2], 'minute', 0, 59, NULL),
		muster.cron_field(v_field[3], 'hour', 0, 23, NULL),
		muster.cron_field(v_field[4], 'day', 1, 31, NULL),
		muster.cron_field(v_field[5], 'month', 1, 12, v_months),
		muster.cron_field(v_field[6], 'weekday', 0, 7, v_days),
		muster.cron_last(v_field[6], v_days),
		('l' = ANY (string_to_array(v_field[4], ',')))::int::text,
		(v_field[4] LIKE '*%' OR v_field[6] LIKE '*%')::int::text];
	IF v_field[4] NOT LIKE '*%' AND v_field[6] LIKE '*%'
			AND v_set[8] = '0' AND NOT EXISTS (
			SELECT FROM unnest('{31,29,31,30,31,30,31,31,30,31,30,31}'
				::int[]) WITH ORDINALITY m(days, number)
			WHERE substr(v_set[5], m.number::int, 1) = '1'
			AND muster.cron_from(v_set[4], 0) < m.days) THEN
		RAISE EXCEPTION 'no month it names has such a day'
			USING ERRCODE = 'MU003';
	END IF;
	RETURN v_set || (v_set[3] = repeat('1', 24))::int::text;
END
$$;

-- The first matching day from p_day on.
CREATE OR REPLACE FUNCTION muster.cron_day(p_set text[], p_day date)
RETURNS date LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	v_day date := p_day;
	v_month date; -- the first day of the next one
	v_mday int;
	v_wday int;
	v_by_month boolean;
	v_by_week boolean;
BEGIN
	-- The longest wait is for a 29 February that is a certain weekday.
	WHILE v_day < p_day + 366 * 50 LOOP
		v_month := (date_trunc('month', v_day::timestamp)
			+ interval '1 month')::date;
		IF substr(p_set[5], date_part('month', v_day)::int, 1) = '0' THEN
			v_day := v_month;
			CONTINUE;
		END IF;
		WHILE v_day < v_month LOOP
			v_mday := date_part('day', v_day)::int;
			v_wday := date_part('dow', v_day)::int;
			v_by_month := substr(p_set[4], v_mday, 1) = '1'
				OR p_set[8] = '1' AND v_day + 1 = v_month;
			v_by_week := substr(p_set[6], v_wday + 1, 1) = '1'
				OR substr(p_set[7], v_wday + 1, 1) = '1'
				AND v_day + 7 >= v_month;
			IF v_by_month AND v_by_week
					OR p_set[9] = '0' AND (v_by_month OR v_by_week) THEN
				RETURN v_day;
			END IF;
			v_day := v_day + 1;
		END LOOP;
	END LOOP;
	RAISE EXCEPTION 'it names no day of the next 50 years'
		USING ERRCODE = 'MU003';
END
$$;

-- The first matching time that a clock on the wall could show, from p_wall on,
-- which is a whole second. Jumps from field to field.
CREATE OR REPLACE FUNCTION muster.cron_wall(p_set text[], p_wall timestamp)
RETURNS timestamp LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	v_from date := p_wall::date;
	v_day date := muster.cron_day(p_set, v_from);
	v_second int := CASE WHEN v_day = v_from
		THEN date_part('epoch', p_wall - v_from)::int ELSE 0 END;
	v_hour int := v_second / 3600;
	v_minute int := v_second / 60 % 60;
	v_found int;
BEGIN
	v_second := v_second % 60;
	LOOP
		v_found := muster.cron_from(p_set[3], v_hour);
		IF v_found IS NULL THEN
			v_day := muster.cron_day(p_set, v_day + 1);
			v_hour := 0; v_minute := 0; v_second := 0;
			CONTINUE;
		ELSIF v_found > v_hour THEN
			v_hour := v_found; v_minute := 0; v_second := 0;
		END IF;
		v_found := muster.cron_from(p_set[2], v_minute);
		IF v_found IS NULL THEN
			v_hour := v_hour + 1; v_minute := 0; v_second := 0;
			CONTINUE;
		ELSIF v_found > v_minute THEN
			v_minute := v_found; v_second := 0;
		END IF;
		v_second := muster.cron_from(p_set[1], v_second);
		IF v_second IS NOT NULL THEN
			RETURN v_day + make_time(v_hour, v_minute, v_second);
		END IF;
		v_minute := v_minute + 1; v_second := 0;
	END LOOP;
END
$$;

-- How far the clocks of a zone are ahead of UTC.
CREATE OR REPLACE FUNCTION muster.zone_ahead(p_zone text, p_at timestamptz)
RETURNS interval LANGUAGE sql STABLE AS $$
	SELECT (p_at AT TIME ZONE p_zone) - (p_at AT TIME ZONE 'UTC')
$$;

-- The second in which the clocks of a zone change, the first one after p_from
-- and not after p_to, at which they are known to differ.
CREATE OR REPLACE FUNCTION muster.zone_change(
	p_zone text, p_from timestamptz, p_to timestamptz)
RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
DECLARE
	v_was interval := muster.zone_ahead(p_zone, p_from);
	v_seconds int := date_part('epoch', p_to - p_from)::int;
	v_low int := 0;
	v_mid int;
BEGIN
	WHILE v_seconds - v_low > 1 LOOP
		v_mid := (v_low + v_seconds) / 2;
		IF muster.zone_ahead(p_zone, p_from + v_mid * interval '1 s')
				= v_was THEN
			v_low := v_mid;
		ELSE
			v_seconds := v_mid;
		END IF;
	END LOOP;
	RETURN p_from + v_seconds * interval '1 s';
END
$$;

-- When a clock shows p_wall for the first time; where it never does, since
-- clocks are put forward over it: when they are.
CREATE OR REPLACE FUNCTION muster.zone_first(p_zone text, p_wall timestamp)
RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
DECLARE
	-- Of two moments PostgreSQL gives the second; of none, one after the
	-- change, as if it had not been.
	v_at timestamptz := p_wall AT TIME ZONE p_zone;
	v_skipped interval := (v_at AT TIME ZONE p_zone) - p_wall;
	v_before timestamptz;
BEGIN
	IF v_skipped > '0' THEN
		RETURN muster.zone_change(p_zone, v_at - v_skipped - interval '1 s',
			v_at);
	END IF;
	v_before := v_at + muster.zone_ahead(p_zone, v_at)
		- muster.zone_ahead(p_zone, v_at - interval '3 h');
	RETURN CASE WHEN v_before < v_at
		AND (v_before AT TIME ZONE p_zone) = p_wall
		THEN v_before ELSE v_at END;
END
$$;

-- The next tick where some hours are named: each time of the wall's clock runs
-- once.
CREATE OR REPLACE FUNCTION muster.cron_next_wall(
	p_set text[], p_zone text, p_after timestamptz)
RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
DECLARE
	v_wall timestamp := p_after AT TIME ZONE p_zone;
	v_first timestamptz := muster.zone_first(p_zone, v_wall);
BEGIN
	IF v_first < p_after THEN -- what is left of the second pass has run
		v_wall := (muster.zone_change(p_zone, v_first, p_after)
			- interval '1 s') AT TIME ZONE p_zone;
	END IF;
	RETURN muster.zone_first(p_zone,
		muster.cron_wall(p_set, v_wall + interval '1 s'));
END
$$;

-- The next tick where every hour matches: all moments whose time on the wall
-- matches, so that what runs every ten minutes does so in real time.
CREATE OR REPLACE FUNCTION muster.cron_next_real(
	p_set text[], p_zone text, p_after timestamptz)
RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
DECLARE
	v_at timestamptz := p_after + interval '1 s';
	v_here timestamp;
	v_wall timestamp;
	v_tick timestamptz;
	v_look timestamptz;
BEGIN
	LOOP
		v_here := v_at AT TIME ZONE p_zone;
		v_wall := muster.cron_wall(p_set, v_here);
		v_tick := v_at + (v_wall - v_here);
		v_look := least(v_tick, v_at + interval '30 h');
		IF (v_look AT TIME ZONE p_zone) - v_here <> v_look - v_at THEN
			v_at := muster.zone_change(p_zone, v_at, v_look);
		ELSIF v_look = v_tick THEN
			RETURN v_tick;
		ELSE -- nothing before v_wall; what changes before it may
			v_at := greatest(v_look,
				(v_wall - interval '30 h') AT TIME ZONE p_zone);
		END IF;
	END LOOP;
END
$$;

-- The first tick of a parsed expression after a moment.
CREATE OR REPLACE FUNCTION muster.cron_after(
	p_set text[], p_zone text, p_after timestamptz)
RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
DECLARE
	v_after timestamptz := date_trunc('second', p_after);
BEGIN
	IF p_set[10] = '1' THEN
		RETURN muster.cron_next_real(p_set, p_zone, v_after);
	END IF;
	RETURN muster.cron_next_wall(p_set, p_zone, v_after);
END
$$;

-- The first tick of a cron expression after a moment, in a time zone by its
-- name. A time that the clocks skip runs when they are put forward, one that
-- they show twice runs the first time; where every hour matches, ticks are
-- those of real time. Raises MU003 if the expression is wrong.
CREATE OR REPLACE FUNCTION muster.cron_next(
	cron text, timezone text, after timestamptz)
RETURNS timestamptz LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN muster.cron_after(muster.cron_parse(cron), timezone, after);
END
$$;
