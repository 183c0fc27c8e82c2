-- Requests for many tasks: what they are about is listed when they are made, in
-- the client's transaction, in rows of 200 (longer arrays would be stored out of
-- line); carry_out() works them off, at most one a call, so that turns are not held
-- for long.

-- Asks for p_verb to be done to the tasks that the query gives.
CREATE OR REPLACE FUNCTION muster.ask_where(
	p_verb text, p_filter jsonb, p_rank int)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	v_id bigint := muster.request_number();
	v_total int;
BEGIN
	EXECUTE 'INSERT INTO muster.request_part SELECT $1, g.n / 200, '
		'array_agg(g.id ORDER BY g.id), CASE WHEN $2 IS NOT NULL '
		'THEN array_agg($2::smallint) END FROM (SELECT t.id, '
		'row_number() OVER (ORDER BY t.id) - 1 AS n FROM ('
		|| muster.filter_sql(p_verb, p_filter)
		|| ') t) g GROUP BY g.n / 200' USING v_id, p_rank;
	SELECT coalesce(sum(cardinality(p.ids)), 0) INTO v_total
	FROM muster.request_part p WHERE p.request_id = v_id;
	INSERT INTO muster.request (id, verb, total, states, wakes)
	VALUES (v_id, p_verb || '_tasks', v_total,
		muster.filter_state(p_verb, p_filter), true);
	RETURN v_id;
END
$$;

CREATE OR REPLACE FUNCTION muster.cancel_where(filter jsonb)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN muster.ask_where('cancel', filter, NULL);
END
$$;

CREATE OR REPLACE FUNCTION muster.retry_where(filter jsonb)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN muster.ask_where('retry', filter, NULL);
END
$$;

CREATE OR REPLACE FUNCTION muster.reprioritise_where(
	filter jsonb, priority int)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM muster.check_limits(priority, NULL, NULL);
	RETURN muster.ask_where('reprioritise', filter, -priority);
END
$$;

-- Asks for priorities[i] for task ids[i]. What is ready moves to the end of its
-- new line, in the order of ids.
CREATE OR REPLACE FUNCTION muster.reprioritise(
	ids bigint[], priorities int[])
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_count int := coalesce(cardinality(ids), 0);
	v_id bigint := muster.request_number();
	v_twice bigint;
BEGIN
	IF v_count <> coalesce(cardinality(priorities), 0) THEN
		RAISE EXCEPTION '% ids, but % priorities', v_count,
			coalesce(cardinality(priorities), 0)
			USING ERRCODE = 'MU003';
	ELSIF array_position(ids, NULL) IS NOT NULL THEN
		RAISE EXCEPTION 'ids holds a null' USING ERRCODE = 'MU003';
	END IF;
	PERFORM muster.check_limits(u.priority, NULL, NULL)
	FROM unnest(priorities) u(priority)
	WHERE (u.priority BETWEEN -1000 AND 1000) IS NOT TRUE;
	SELECT u.id INTO v_twice FROM unnest(ids) u(id)
	GROUP BY u.id HAVING count(*) > 1 LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'task % stands more than once in ids', v_twice
			USING ERRCODE = 'MU003';
	END IF;
	INSERT INTO muster.request_part
	SELECT v_id, (u.o - 1) / 200, array_agg(u.id ORDER BY u.o),
		array_agg(-u.priority ORDER BY u.o)
	FROM unnest(ids, priorities) WITH ORDINALITY u(id, priority, o)
	GROUP BY (u.o - 1) / 200;
	INSERT INTO muster.request (id, verb, total, wakes)
	VALUES (v_id, 'reprioritise_tasks', v_count, true);
	RETURN v_id;
END
$$;

-- One row: count of total tasks are done; of another request, or one that is not
-- known, null.
CREATE OR REPLACE FUNCTION muster.request_progress(id bigint)
RETURNS TABLE (count int, total int)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	SELECT CASE WHEN r.total IS NOT NULL THEN r.count END, r.total
	INTO count, total
	FROM muster.request r WHERE r.id = request_progress.id;
	RETURN NEXT;
END
$$;

-- The next piece, at most p_limit tasks of the list's next row, or more if others
-- hold all of those. What they hold goes to a row behind all others, and is met
-- again when the rest is done. p_limit if more may be done at once.
CREATE OR REPLACE FUNCTION muster.do_bulk(
	p_request muster.request, p_limit int, p_alone boolean)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_part muster.request_part;
	v_met int := 0;
	v_n int := p_limit;
	v_done int;
	v_held bigint[];
	v_left bigint[];
	v_tally jsonb;
	v_sum jsonb := p_request.tally;
BEGIN
	SELECT * INTO v_part FROM muster.request_part p
	WHERE p.request_id = p_request.id AND p.part >= p_request.cursor
	ORDER BY p.part LIMIT 1;
	IF NOT FOUND THEN
		IF p_request.cursor = 0 THEN
			RETURN muster.end_bulk(p_request);
		END IF;
		UPDATE muster.request SET cursor = 0 WHERE id = p_request.id;
		RETURN 1;
	END IF;
	LOOP
		v_n := least(v_n, cardinality(v_part.ids) - v_met);
		SELECT b.o_left, b.o_tally INTO v_held, v_tally
		FROM muster.bulk_batch(p_request,
			v_part.ids[v_met + 1 : v_met + v_n],
			v_part.ranks[v_met + 1 : v_met + v_n], p_alone) b;
		v_left := v_left || v_held;
		v_sum := muster.tally_sum(v_sum, v_tally);
		v_met := v_met + v_n;
		v_done := v_met - coalesce(cardinality(v_left), 0);
		EXIT WHEN v_done > 0 OR v_met = cardinality(v_part.ids);
		v_n := 2 * v_n;
	END LOOP;
	PERFORM muster.bulk_keep(v_part, v_met, v_left);
	UPDATE muster.request r SET count = r.count + v_done, tally = v_sum,
		cursor = v_part.part + (v_met = cardinality(v_part.ids))::int
	WHERE r.id = p_request.id;
	RETURN CASE WHEN v_done > 0 THEN p_limit ELSE 0 END;
END
$$;

-- Of the list's row there remain the tasks after the first p_n; p_left of these go
-- to the row of those that are met again.
CREATE OR REPLACE FUNCTION muster.bulk_keep(
	p_part muster.request_part, p_n int, p_left bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF p_n = cardinality(p_part.ids) THEN
		DELETE FROM muster.request_part p
		WHERE p.request_id = p_part.request_id AND p.part = p_part.part;
	ELSE
		UPDATE muster.request_part p
		SET ids = p.ids[p_n + 1 :], ranks = p.ranks[p_n + 1 :]
		WHERE p.request_id = p_part.request_id AND p.part = p_part.part;
	END IF;
	INSERT INTO muster.request_part AS p
	SELECT p_part.request_id, p_part.part % 1000000000 + 1000000000,
		array_agg(u.id ORDER BY u.o),
		CASE WHEN p_part.ranks IS NOT NULL
		THEN array_agg(u.rank ORDER BY u.o) END
	FROM unnest(p_part.ids, p_part.ranks) WITH ORDINALITY u(id, rank, o)
	WHERE u.o <= p_n AND (u.id IN (SELECT unnest(p_left))) IS TRUE
	HAVING count(*) > 0
	ON CONFLICT (request_id, part) DO UPDATE
	SET ids = p.ids || excluded.ids, ranks = p.ranks || excluded.ranks;
END
$$;

-- Does it. o_left: what is to be tried again; o_tally: what became of the others.
-- Unless p_alone, what is ready may be on its way to a worker, so that nobody can
-- say yet whether it is in a state that was asked for.
CREATE OR REPLACE FUNCTION muster.bulk_batch(p_request muster.request,
	p_ids bigint[], p_ranks smallint[], p_alone boolean,
	OUT o_left bigint[], OUT o_tally jsonb)
LANGUAGE plpgsql AS $$
DECLARE
	v_other bigint[];
	v_ids bigint[] := p_ids;
BEGIN
	o_tally := '{}';
	IF p_request.states IS NOT NULL THEN
		IF NOT p_alone AND p_request.verb <> 'retry_tasks' THEN
			o_left := p_ids;
			RETURN;
		END IF;
		v_other := ARRAY(SELECT s.id FROM muster.task_status s
			WHERE s.id = ANY (p_ids)
			AND s.state <> ALL (p_request.states));
		v_ids := muster.without(p_ids, v_other);
	END IF;
	CASE p_request.verb
		WHEN 'cancel_tasks' THEN
			SELECT b.* INTO o_left, o_tally FROM muster.bulk_cancel(
				v_ids, p_request.asked_by, p_alone) b;
		WHEN 'retry_tasks' THEN
			SELECT b.* INTO o_left, o_tally
			FROM muster.bulk_retry(p_request.id, v_ids) b;
		ELSE
			SELECT b.* INTO o_left, o_tally
			FROM muster.bulk_reprioritise(p_ids, p_ranks, v_ids,
				p_alone) b;
	END CASE;
	o_tally := o_tally || jsonb_build_object('other',
		coalesce(cardinality(v_other), 0)
		+ coalesce((o_tally -> 'other')::int, 0));
END
$$;

CREATE OR REPLACE FUNCTION muster.tally_sum(p_one jsonb, p_other jsonb)
RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
	SELECT coalesce(jsonb_object_agg(s.key, s.n), '{}')
	FROM (SELECT e.key, sum(e.value::bigint) AS n
		FROM (SELECT * FROM jsonb_each_text(p_one)
			UNION ALL SELECT * FROM jsonb_each_text(p_other)) e
		GROUP BY e.key) s
$$;

-- Cancels those that are open.
CREATE OR REPLACE FUNCTION muster.bulk_cancel(p_ids bigint[],
	p_asked_by text, p_alone boolean, OUT o_left bigint[], OUT o_tally jsonb)
LANGUAGE plpgsql AS $$
DECLARE
	v_open bigint[];
	v_gone bigint[];
	v_told bigint[];
BEGIN
	v_open := muster.lock_open(p_ids);
	IF v_open <> '{}' THEN
		SELECT c.o_gone, c.o_told INTO v_gone, v_told
		FROM muster.cancel_tasks(v_open,
			'cancelled on request of ' || p_asked_by, p_alone) c;
	END IF;
	o_left := muster.without(p_ids, v_told);
	o_left := nullif(ARRAY(SELECT t.id FROM muster.task t
		WHERE t.id = ANY (o_left) AND t.state IS NULL), '{}');
	o_tally := jsonb_build_object(
		'gone', coalesce(cardinality(v_gone), 0),
		'told', coalesce(cardinality(v_told), 0),
		'other', cardinality(p_ids) - coalesce(cardinality(v_gone), 0)
			- coalesce(cardinality(v_told), 0)
			- coalesce(cardinality(o_left), 0));
END
$$;

-- Those that are open and that nobody else holds, ascending, locked.
CREATE OR REPLACE FUNCTION muster.lock_open(p_ids bigint[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
BEGIN
	RETURN ARRAY(SELECT t.id FROM muster.task t
		WHERE t.id = ANY (p_ids) AND t.state IS NULL
		ORDER BY t.id FOR UPDATE SKIP LOCKED);
END
$$;

-- Brings back those that have ended otherwise than well.
CREATE OR REPLACE FUNCTION muster.bulk_retry(p_request bigint,
	p_ids bigint[], OUT o_left bigint[], OUT o_tally jsonb)
LANGUAGE plpgsql AS $$
DECLARE
	v_all CONSTANT bigint[] := muster.with_needs(p_ids);
	v_busy bigint[];
	v_ids bigint[];
	v_keyed bigint[];
	v_again bigint[];
	v_looked int;
	v_later int;
BEGIN
	v_busy := muster.without(ARRAY(SELECT t.id FROM muster.task t
		WHERE t.id = ANY (v_all)), ARRAY(SELECT t.id FROM muster.task t
		WHERE t.id = ANY (v_all)
		ORDER BY t.id FOR NO KEY UPDATE SKIP LOCKED));
	o_left := muster.bulk_wait(p_request, p_ids, v_busy);
	v_ids := muster.without(p_ids, o_left);
	v_ids := ARRAY(SELECT t.id FROM muster.task t
		WHERE t.id = ANY (v_ids) AND t.state IN ('f', 'c', 'k')
		ORDER BY t.id);
	SELECT b.o_again, b.o_keyed INTO v_again, v_keyed
	FROM muster.bring_back(v_ids) b;
	v_looked := cardinality(muster.with_many(v_again));
	SELECT count(*) - v_looked INTO v_later FROM muster.blocked b
	WHERE b.task_id = ANY (v_again);
	o_tally := jsonb_build_object(
		'back', cardinality(v_again) - v_later - v_looked,
		'later', v_later, 'looked', v_looked,
		'unmet', cardinality(v_keyed) - cardinality(v_again),
		'held', cardinality(v_ids) - cardinality(v_keyed),
		'other', cardinality(p_ids) - cardinality(v_ids)
			- coalesce(cardinality(o_left), 0));
END
$$;

-- Those of p_ids, of which and of whose needs others hold p_busy, that this request
-- has to meet again: those are held, or are still to tell of their end, or wait for
-- what is held or for what it has to meet again itself; null: none.
CREATE OR REPLACE FUNCTION muster.bulk_wait(
	p_request bigint, p_ids bigint[], p_busy bigint[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	v_left bigint[] := ARRAY(SELECT u.id FROM unnest(p_ids) u(id)
		WHERE u.id = ANY (p_busy)
		UNION SELECT r.task_id FROM muster.remainder r
		WHERE r.task_id = ANY (p_ids));
	v_new bigint[] := p_busy || v_left || muster.without(ARRAY(
		SELECT unnest(p.ids) FROM muster.request_part p
		WHERE p.request_id = p_request AND p.part >= 1000000000), p_ids);
BEGIN
	WHILE v_new <> '{}' LOOP
		v_new := ARRAY(SELECT n.task_id FROM muster.needs n
			WHERE n.task_id = ANY (muster.without(p_ids, v_left))
			AND EXISTS (SELECT FROM unnest(n.ids) u(need)
				WHERE (u.need IN (SELECT unnest(v_new))) IS TRUE));
		v_left := v_left || v_new;
	END LOOP;
	RETURN nullif(v_left, '{}');
END
$$;

-- Those of these skipped tasks that a retry by filter is still to meet.
CREATE OR REPLACE FUNCTION muster.bulk_listed(p_ids bigint[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
BEGIN
	RETURN ARRAY(SELECT u.id FROM muster.request r
		CROSS JOIN LATERAL (SELECT unnest(p.ids) AS id
			FROM muster.request_part p
			WHERE p.request_id = r.id OFFSET 0) u
		WHERE r.done_at IS NULL AND r.verb = 'retry_tasks'
			AND coalesce('skipped' = ANY (r.states), true)
			AND (u.id IN (SELECT unnest(p_ids))) IS TRUE);
END
$$;

-- Gives each of p_these (some of p_ids) its rank, p_ranks[i] that of p_ids[i], and
-- moves those that are ready to the ends of their new lines, in the order of
-- p_ids; what they leave behind is stale by the new ticket. Unless p_alone, a
-- turn may just be claiming what is not leased: then only what runs is touched.
CREATE OR REPLACE FUNCTION muster.bulk_reprioritise(p_ids bigint[],
	p_ranks smallint[], p_these bigint[], p_alone boolean,
	OUT o_left bigint[], OUT o_tally jsonb)
LANGUAGE plpgsql AS $$
DECLARE
	v_sorted bigint[];
	v_ranks smallint[];
	v_open bigint[] := muster.lock_open(p_these);
	v_same bigint[];
	v_running bigint[];
	v_waiting bigint[] := '{}';
	v_ready bigint[] := '{}';
	v_ended bigint[];
BEGIN
	SELECT array_agg(u.id ORDER BY u.id), array_agg(u.rank ORDER BY u.id)
	INTO v_sorted, v_ranks FROM unnest(p_ids, p_ranks) u(id, rank);
	v_same := ARRAY(SELECT t.id FROM muster.task t WHERE t.id = ANY (v_open)
		AND t.rank = v_ranks[width_bucket(t.id, v_sorted)]);
	v_open := muster.without(v_open, v_same);
	v_running := ARRAY(SELECT l.task
		FROM (SELECT unnest(x.task_ids) AS task FROM muster.lease x
			WHERE x.id >= muster.list_mark('lease')) l
		WHERE (l.task IN (SELECT unnest(v_open))) IS TRUE);
	IF p_alone AND v_open <> '{}' THEN
		SELECT r.* INTO v_waiting, v_ready FROM muster.rank_places(
			muster.without(v_open, v_running), v_sorted, v_ranks) r;
	END IF;
	v_open := ARRAY(SELECT unnest(v_running || v_waiting || v_ready));
	UPDATE muster.task t
	SET rank = v_ranks[width_bucket(t.id, v_sorted)],
		ticket = CASE WHEN (t.id IN (SELECT unnest(v_ready))) IS TRUE
			THEN (t.ticket + 1) % 32768 ELSE t.ticket END
	WHERE t.id = ANY (v_open);
	PERFORM muster.lane_open(l.route_id, l.rank, l.lane)
	FROM (SELECT DISTINCT t.route_id, t.rank, t.lane FROM muster.task t
		WHERE t.id = ANY (v_open)) l;
	INSERT INTO muster.ready (seq, task_id, at, route_id, size, rank, lane,
		ticket, lock_id)
	SELECT nextval('muster.ready_seq'), m.* FROM (
		SELECT t.id, now(), t.route_id, t.size, t.rank, t.lane, t.ticket,
			t.lock_id
		FROM unnest(p_ids) WITH ORDINALITY u(id, o)
		CROSS JOIN LATERAL (SELECT * FROM muster.task x
			WHERE x.id = u.id OFFSET 0) t
		WHERE (u.id IN (SELECT unnest(v_ready))) IS TRUE
		ORDER BY u.o) m;
	PERFORM muster.lock_look(v_ready);
	v_ended := muster.without(p_these, ARRAY(SELECT t.id FROM muster.task t
		WHERE t.id = ANY (p_these) AND t.state IS NULL));
	o_left := nullif(muster.without(p_these,
		v_open || v_same || v_ended), '{}');
	o_tally := jsonb_build_object('moved', cardinality(v_ready),
		'waiting', cardinality(v_waiting),
		'running', cardinality(v_running), 'same', cardinality(v_same),
		'ended', cardinality(v_ended));
END
$$;

-- Open tasks that are not leased, locked by the caller: o_waiting wait for
-- something, and their places have the new rank now, or their sets know that they
-- are mixed; o_ready are to be moved. What
-- another transaction just moves is neither. The places are looked at in the
-- order in which tasks move through them, so that one that moves is met.
CREATE OR REPLACE FUNCTION muster.rank_places(p_ids bigint[],
	p_sorted bigint[], p_ranks smallint[],
	OUT o_waiting bigint[], OUT o_ready bigint[])
LANGUAGE plpgsql AS $$
DECLARE
	v_hit bigint[];
	v_more bigint[];
	v_busy bigint[];
	v_held record;
BEGIN
	o_waiting := ARRAY(SELECT a.task_id FROM muster.arriving a
		WHERE a.task_id = ANY (p_ids));
	SELECT * INTO v_held FROM muster.set_hold(p_ids);
	v_hit := ARRAY(SELECT b.task_id FROM muster.blocked b
		WHERE b.task_id = ANY (p_ids)
		ORDER BY b.task_id FOR UPDATE SKIP LOCKED);
	UPDATE muster.blocked b
	SET rank = p_ranks[width_bucket(b.task_id, p_sorted)]
	WHERE b.task_id = ANY (v_hit);
	v_busy := v_held.o_busy || ARRAY(SELECT b.task_id FROM muster.blocked b
		WHERE b.task_id = ANY (p_ids));
	v_more := ARRAY(SELECT s.task_id FROM muster.scheduled s
		WHERE s.task_id = ANY (p_ids) FOR UPDATE SKIP LOCKED);
	UPDATE muster.scheduled s
	SET rank = p_ranks[width_bucket(s.task_id, p_sorted)]
	WHERE s.task_id = ANY (v_more);
	v_busy := v_busy || ARRAY(SELECT s.task_id FROM muster.scheduled s
		WHERE s.task_id = ANY (p_ids));
	o_waiting := o_waiting || v_held.o_in || v_hit || v_more
		|| muster.lock_leave(p_ids);
	v_busy := v_busy || ARRAY(SELECT w.task_id FROM muster.waiting w
		WHERE w.task_id = ANY (p_ids));
	v_busy := muster.without(v_busy, o_waiting);
	v_hit := muster.without(p_ids, o_waiting || v_busy);
	o_ready := ARRAY(SELECT s.id FROM muster.task_status s
		WHERE s.id = ANY (v_hit) AND s.state = 'ready');
	o_waiting := o_waiting || muster.without(p_ids,
		o_waiting || v_busy || o_ready);
END
$$;

-- Says what became of all of them.
CREATE OR REPLACE FUNCTION muster.end_bulk(p_request muster.request)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_parts text[];
	v_changed boolean;
BEGIN
	SELECT array_agg(format(CASE WHEN p.n = 1 THEN p.one ELSE p.many END,
			p.n) ORDER BY p.o), bool_or(p.changes)
	INTO v_parts, v_changed
	FROM (SELECT w.*, (p_request.tally ->> w.key)::bigint AS n
		FROM muster.bulk_words() w) p
	WHERE p.n > 0;
	RETURN muster.answer(p_request.id, CASE WHEN v_changed IS FALSE
		THEN 'refused' ELSE 'done' END,
		coalesce(array_to_string(v_parts, '; '), 'no such task'));
END
$$;

-- What the entries of a tally are called, and whether they are a change.
CREATE OR REPLACE FUNCTION muster.bulk_words()
RETURNS TABLE (o int, key text, changes boolean, one text, many text)
LANGUAGE sql IMMUTABLE AS $$
	SELECT * FROM (VALUES
		(1, 'gone', true, '%s task is cancelled',
			'%s tasks are cancelled'),
		(2, 'told', true, '%s task is running; its worker was told',
			'%s tasks are running; their workers were told'),
		(3, 'back', true, '%s task runs again', '%s tasks run again'),
		(4, 'later', true,
			'%s task comes back when a need of it, which runs again, '
			'is met',
			'%s tasks come back when a need of theirs, which runs '
			'again, is met'),
		(5, 'looked', true,
			'%s task comes back when its needs, which are looked at '
			'again, are met',
			'%s tasks come back when their needs, which are looked at '
			'again, are met'),
		(6, 'moved', true, '%s ready task moved in the line',
			'%s ready tasks moved in the line'),
		(7, 'waiting', true, '%s waiting task will be ready with it',
			'%s waiting tasks will be ready with it'),
		(8, 'running', true, '%s running task has it for another attempt',
			'%s running tasks have it for another attempt'),
		(9, 'same', false, '%s task had it already',
			'%s tasks had it already'),
		(10, 'unmet', false, '%s task stays as it is: a need is not met',
			'%s tasks stay as they are: a need is not met'),
		(11, 'held', false, '%s task stays as it is: its unique key is held',
			'%s tasks stay as they are: their unique keys are held'),
		(12, 'ended', false, '%s task had ended or does not exist',
			'%s tasks had ended or do not exist'),
		(13, 'other', false, '%s task was in another state by then',
			'%s tasks were in another state by then')
	) w(o, key, changes, one, many)
$$;
