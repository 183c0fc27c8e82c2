-- Firing the schedules that are due. Any number of schedulers may do it: each
-- takes rows that nobody holds, and a tick has one row in schedule_run.

-- Fires up to p_limit, looking from p_floor on (null: from the first). Gives how
-- many, how long until the next (0: there are more; null: none), and the floor
-- for the next call: in front of it lie only dead entries, and what was
-- committed late, which a call without a floor, now and then, finds.
-- Locks: schedule (what others hold is stepped over).
CREATE OR REPLACE FUNCTION muster.fire(p_limit int, p_floor timestamptz)
RETURNS TABLE (fired int, next_in_ms bigint, floor timestamptz)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
	v_now timestamptz := clock_timestamp();
	v_from timestamptz := coalesce(p_floor, '-infinity');
	v_one muster.schedule;
	v_next timestamptz;
BEGIN
	PERFORM muster.check_isolation();
	fired := 0;
	FOR v_one IN SELECT s.* FROM muster.schedule s
			WHERE s.next_at >= v_from AND s.next_at <= v_now
			ORDER BY s.next_at LIMIT p_limit
			FOR UPDATE SKIP LOCKED LOOP
		PERFORM muster.fire_one(v_one, v_now);
		fired := fired + 1;
	END LOOP;
	SELECT least(s.next_at, v_now) INTO floor FROM muster.schedule s
	WHERE s.next_at >= v_from ORDER BY s.next_at LIMIT 1;
	IF fired = p_limit THEN
		next_in_ms := 0;
	ELSE
		SELECT s.next_at INTO v_next FROM muster.schedule s
		WHERE s.next_at > v_now ORDER BY s.next_at LIMIT 1;
		IF FOUND THEN -- greatest() would make 0 of "none"
			next_in_ms := ceil(greatest(extract(epoch
				FROM v_next - clock_timestamp()) * 1000, 0))::bigint;
		END IF;
	END IF;
	RETURN NEXT;
END
$$;

-- One whose row the caller has locked. Of several ticks that are due at once
-- all but the newest were missed; and one that is a minute late was, too.
-- run_all makes up for one at a time, oldest first, at most 100 in a row.
-- Whatever a schedule has that cannot be stored any more must not stop others.
CREATE OR REPLACE FUNCTION muster.fire_one(
	p_one muster.schedule, p_now timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_tick timestamptz := p_one.next_tick;
	v_next timestamptz;
	v_since timestamptz;
	v_behind int := 0;
	v_outcome "char";
	v_task bigint;
	v_error text;
BEGIN
	BEGIN
		v_next := muster.schedule_tick(p_one, v_tick);
		IF v_next <= p_now THEN
			v_behind := p_one.behind + 1;
			IF p_one.missed <> 'run_all' OR v_behind > 100 THEN
				v_since := v_tick;
				v_tick := muster.schedule_newest(p_one, v_tick,
					p_now);
				v_next := muster.schedule_tick(p_one, v_tick);
				v_behind := 0;
			END IF;
		END IF;
		v_outcome := CASE WHEN p_one.missed = 'skip' AND CASE
				WHEN v_since IS NULL THEN p_one.next_at
				ELSE v_tick END < p_now - interval '1 min'
			THEN 'm' ELSE muster.fire_overlap(p_one) END;
		IF v_outcome IN ('r', 'q') THEN
			v_task := muster.fire_task(p_one, v_tick, v_outcome);
		END IF;
		INSERT INTO muster.schedule_run VALUES (clock_timestamp(), v_tick,
			v_since, v_task, v_outcome, p_one.name);
	EXCEPTION
		WHEN unique_violation THEN
			GET STACKED DIAGNOSTICS v_error = CONSTRAINT_NAME;
			IF v_error <> 'schedule_run_pkey' THEN
				RAISE;
			END IF;
			v_task := NULL; -- it has run
			v_outcome := NULL;
		WHEN SQLSTATE 'MU003' OR invalid_parameter_value THEN
			GET STACKED DIAGNOSTICS v_error = MESSAGE_TEXT;
			v_task := NULL;
			v_outcome := 'x';
			INSERT INTO muster.schedule_run VALUES (
				clock_timestamp(), v_tick, v_since, NULL, 'x',
				p_one.name, v_error) ON CONFLICT DO NOTHING;
	END;
	UPDATE muster.schedule s SET behind = v_behind, last_tick = v_tick,
		last_task = coalesce(v_task, s.last_task),
		last_outcome = coalesce(v_outcome, s.last_outcome),
		next_tick = coalesce(v_next, s.next_tick),
		next_at = CASE WHEN v_next IS NULL -- its time zone is gone
				THEN p_now + interval '1 min'
			ELSE muster.schedule_at(p_one, v_next) END
	WHERE s.name = p_one.name;
END
$$;

-- What the task of the last run lets a tick do. At most one waits for it.
CREATE OR REPLACE FUNCTION muster.fire_overlap(p_one muster.schedule)
RETURNS "char" LANGUAGE plpgsql AS $$
BEGIN
	IF p_one.overlap = 'allow' OR p_one.last_task IS NULL
			OR NOT EXISTS (SELECT FROM muster.task t
			WHERE t.id = p_one.last_task AND t.state IS NULL) THEN
		RETURN 'r';
	ELSIF p_one.overlap = 'skip' OR EXISTS (SELECT FROM muster.blocked b
				WHERE b.task_id = p_one.last_task)
			OR EXISTS (SELECT FROM muster.arriving a
				WHERE a.task_id = p_one.last_task) THEN
		RETURN 'o';
	END IF;
	RETURN 'q';
END
$$;

-- Enqueues the task of a tick. A payload that is an object tells of it, unless
-- it has a member of that name.
CREATE OR REPLACE FUNCTION muster.fire_task(
	p_one muster.schedule, p_tick timestamptz, p_outcome "char")
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	v_payload jsonb := p_one.payload;
BEGIN
	IF jsonb_typeof(v_payload) = 'object' THEN
		v_payload := jsonb_build_object('schedule', jsonb_build_object(
			'name', p_one.name, 'tick', to_char(
				p_tick AT TIME ZONE 'UTC',
				'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))) || v_payload;
	END IF;
	RETURN muster.enqueue(p_one.kind, v_payload, queue => p_one.queue,
		priority => p_one.priority, max_attempts => p_one.max_attempts,
		timeout => p_one.timeout_ms * interval '1 ms',
		depends_on => CASE p_outcome
			WHEN 'q' THEN ARRAY[p_one.last_task] END,
		depends_when => 'finished');
END
$$;

-- What became of a tick, in a word.
CREATE OR REPLACE FUNCTION muster.run_outcome(p_outcome "char")
RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE p_outcome WHEN 'r' THEN 'run' WHEN 'q' THEN 'queued'
		WHEN 'o' THEN 'overlapped' WHEN 'm' THEN 'missed'
		WHEN 'x' THEN 'refused' END
$$;

-- Runs are kept for a week. Whether there are more.
CREATE OR REPLACE FUNCTION muster.purge_runs(p_limit int)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	v_gone int;
BEGIN
	DELETE FROM muster.schedule_run r WHERE r.ctid = ANY (ARRAY(
		SELECT x.ctid FROM muster.schedule_run x
		WHERE x.at < now() - interval '7 days'
		ORDER BY x.at LIMIT p_limit FOR UPDATE SKIP LOCKED));
	GET DIAGNOSTICS v_gone = ROW_COUNT;
	RETURN v_gone = p_limit;
END
$$;
