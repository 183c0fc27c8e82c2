-- The line before a concurrency key: how admission puts tasks into it. It runs
-- once at a time in the database, and alone waits for mutexes.

-- These keyed tasks (ascending, locked by the caller) want a slot: to ready where
-- there is one or one can be taken over, else to waiting. What others gave back
-- meanwhile, or asked to be looked at again, is dealt with too; gives how many of
-- these there are still.
-- Locks: lock_key, in order; then as lock_overtake().
CREATE OR REPLACE FUNCTION muster.lock_wait(p_ids bigint[])
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_shut int[] := muster.lock_shut();
	v_ask bigint[]; -- the keys of p_ids
	v_look bigint[]; -- those of lock_freed
	v_locks bigint[]; -- both, ascending, and of each …
	v_free int[];
	v_lined bigint[]; -- those for which somebody waits who could run
	v_back int[];
	v_direct bigint[];
	v_rest bigint[];
	v_new_lock bigint[];
	v_new_line int[];
	v_new_seq bigint[];
BEGIN
	v_look := ARRAY(SELECT f.lock_id FROM muster.lock_freed f
		WHERE f.id >= muster.list_mark('lock_freed')
		ORDER BY f.id LIMIT 1000);
	SELECT array_agg(DISTINCT t.lock_id) INTO v_ask FROM muster.task t
	WHERE t.id = ANY (p_ids);
	IF v_ask IS NOT NULL THEN
		PERFORM muster.lock_make(p_ids);
	ELSIF v_look = '{}' THEN
		RETURN 0;
	END IF;
	SELECT array_agg(l.id), array_agg(l.slots) INTO v_locks, v_free
	FROM (SELECT k.id, k.slots FROM muster.lock_key k
		WHERE k.id = ANY (v_ask || v_look) ORDER BY k.id FOR UPDATE) l;
	IF v_look <> '{}' THEN
		v_back := muster.lock_fetch(v_locks);
	END IF;
	SELECT array_agg(k.slots - h.held + coalesce(k.back, 0) ORDER BY k.id)
	INTO v_free
	FROM unnest(v_locks, v_free, v_back) k(id, slots, back)
	CROSS JOIN LATERAL (SELECT x.held FROM muster.lock_held x
		WHERE x.lock_id = k.id ORDER BY x.gen DESC LIMIT 1) h;
	PERFORM muster.lock_close(v_locks, v_free);
	v_lined := muster.lock_lined(ARRAY(SELECT u.id
		FROM unnest(v_locks, v_free) u(id, n) WHERE u.n > 0));
	SELECT array_agg(n.id ORDER BY n.id) INTO v_direct
	FROM (SELECT t.id, t.lock_id, row_number() OVER (
			PARTITION BY t.lock_id ORDER BY t.rank, t.lane, t.id) AS place
		FROM muster.task t WHERE t.id = ANY (p_ids)
			AND t.route_id <> ALL (v_shut)) n
	WHERE n.place <= v_free[width_bucket(n.lock_id, v_locks)]
		AND (n.lock_id IN (SELECT unnest(v_lined))) IS NOT TRUE;
	IF v_direct IS NOT NULL THEN
		PERFORM muster.put_ready(v_direct);
	END IF;
	v_rest := muster.without(p_ids, v_direct);
	WITH put AS (
		INSERT INTO muster.waiting (lock_id, seq, task_id, line, route_id,
			size, ticket)
		SELECT t.lock_id, nextval('muster.waiting_seq'), t.id,
			t.rank * 16 + t.lane, t.route_id, t.size, t.ticket
		FROM (SELECT * FROM muster.task x WHERE x.id = ANY (v_rest)
			ORDER BY x.id) t
		RETURNING lock_id, line, seq
	)
	SELECT array_agg(g.lock_id), array_agg(g.line), array_agg(g.seq)
	INTO v_new_lock, v_new_line, v_new_seq
	FROM (SELECT p.lock_id, p.line, min(p.seq) AS seq FROM put p
		GROUP BY p.lock_id, p.line) g;
	PERFORM muster.lock_change(v_locks, v_direct, v_back);
	IF v_new_lock IS NOT NULL THEN
		PERFORM muster.lock_lower(v_new_lock, v_new_line, v_new_seq);
	END IF;
	IF v_lined IS NOT NULL THEN
		PERFORM muster.lock_fill(v_locks, v_free, v_lined);
	END IF;
	v_locks := v_look || ARRAY(SELECT u.id -- those who stand before any line
		FROM unnest(v_new_lock, v_new_line) u(id, line)
		WHERE u.line >> 4 < (SELECT max(l.rank) FROM muster.lanes l));
	IF v_locks <> '{}' THEN
		PERFORM muster.lock_overtake(ARRAY(
			SELECT DISTINCT unnest(v_locks)));
	END IF;
	RETURN CASE WHEN cardinality(v_look) = 1000 THEN 1000 ELSE 0 END;
END
$$;

-- Makes the keys of these tasks known. Of several limits the newest holds.
CREATE OR REPLACE FUNCTION muster.lock_make(p_ids bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_ids bigint[];
	v_task bigint[];
	v_slots int[];
	v_names text[];
BEGIN
	SELECT array_agg(k.lock_id ORDER BY k.lock_id),
		array_agg(k.id ORDER BY k.lock_id),
		array_agg(k.lock_limit ORDER BY k.lock_id),
		array_agg(k.lock_key ORDER BY k.lock_id)
	INTO v_ids, v_task, v_slots, v_names
	FROM (SELECT DISTINCT ON (t.lock_id) t.* FROM muster.task t
		WHERE t.id = ANY (p_ids) ORDER BY t.lock_id, t.id DESC) k;
	WITH made AS (
		INSERT INTO muster.lock_key (id, told_by, slots, most, name)
		SELECT u.id, u.task, u.slots, u.slots, u.name
		FROM unnest(v_ids, v_task, v_slots, v_names)
			u(id, task, slots, name)
		ON CONFLICT DO NOTHING RETURNING id
	)
	INSERT INTO muster.lock_held
	SELECT m.id, nextval('muster.lock_gen'), now(), 0 FROM made m;
	UPDATE muster.lock_key k
	SET slots = v_slots[width_bucket(k.id, v_ids)],
		most = greatest(k.most, v_slots[width_bucket(k.id, v_ids)]),
		told_by = v_task[width_bucket(k.id, v_ids)]
	WHERE k.id = ANY (v_ids)
		AND k.slots <> v_slots[width_bucket(k.id, v_ids)]
		AND k.told_by < v_task[width_bucket(k.id, v_ids)];
END
$$;

-- Notes of which of these keys more slots are held than there are.
CREATE OR REPLACE FUNCTION muster.lock_close(p_locks bigint[], p_free int[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF 0 > ANY (p_free) THEN
		INSERT INTO muster.lock_closed
		SELECT u.id FROM unnest(p_locks, p_free) u(id, n) WHERE u.n < 0
		ON CONFLICT DO NOTHING;
	END IF;
	IF EXISTS (SELECT FROM muster.lock_closed) THEN
		DELETE FROM muster.lock_closed c
		WHERE c.lock_id = ANY (p_locks)
			AND p_free[width_bucket(c.lock_id, p_locks)] >= 0;
	END IF;
END
$$;

-- Takes what was given back of each of p_locks out of lock_freed.
CREATE OR REPLACE FUNCTION muster.lock_fetch(p_locks bigint[])
RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
	v_back int[] := array_fill(0, ARRAY[cardinality(p_locks)]);
	v_row record;
	v_at int;
BEGIN
	FOR v_row IN
		WITH gone AS (
			DELETE FROM muster.lock_freed f
			WHERE f.lock_id = ANY (p_locks) RETURNING f.*
		)
		SELECT g.lock_id, sum(g.n)::int AS n FROM gone g
		GROUP BY g.lock_id
	LOOP
		v_at := width_bucket(v_row.lock_id, p_locks);
		v_back[v_at] := v_row.n;
	END LOOP;
	RETURN v_back;
END
$$;

-- Notes what of these keys has changed: slots went to p_direct, and of p_locks[i]
-- p_back[i] were given back.
CREATE OR REPLACE FUNCTION muster.lock_change(
	p_locks bigint[], p_direct bigint[], p_back int[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_locks bigint[];
	v_add int[];
BEGIN
	SELECT array_agg(u.id), array_agg(u.n) INTO v_locks, v_add
	FROM (SELECT x.id, sum(x.n)::int AS n
		FROM (SELECT t.lock_id AS id, 1 AS n FROM muster.task t
			WHERE t.id = ANY (p_direct)
			UNION ALL SELECT b.id, -b.n FROM unnest(p_locks, p_back)
				b(id, n) WHERE b.n <> 0) x
		GROUP BY x.id HAVING sum(x.n) <> 0) u;
	IF v_locks IS NOT NULL THEN
		PERFORM muster.lock_note(v_locks, v_add);
	END IF;
END
$$;

-- Somebody has come into these lines, p_seq[i] the first of p_line[i]: floors
-- above them are moved down.
CREATE OR REPLACE FUNCTION muster.lock_lower(
	p_locks bigint[], p_line int[], p_seq bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_locks bigint[];
	v_line int[];
	v_seq bigint[];
BEGIN
	SELECT array_agg(n.id), array_agg(n.line), array_agg(n.seq)
	INTO v_locks, v_line, v_seq
	FROM (SELECT DISTINCT ON (u.id) u.* FROM unnest(p_locks, p_line, p_seq)
		u(id, line, seq) ORDER BY u.id, u.line, u.seq) n
	CROSS JOIN LATERAL (SELECT x.line, x.seq FROM muster.lock_floor x
		WHERE x.lock_id = n.id ORDER BY x.gen DESC LIMIT 1) f
	WHERE (n.line, n.seq) < (f.line, f.seq);
	IF v_locks IS NOT NULL THEN
		PERFORM muster.lock_enter(v_locks, v_line, v_seq);
	END IF;
END
$$;

-- Slots that are free beside a line: its limit was raised, its queue was paused, or
-- a hand-over met nobody. p_lined: of p_locks those that have a line.
CREATE OR REPLACE FUNCTION muster.lock_fill(
	p_locks bigint[], p_free int[], p_lined bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_locks bigint[];
	v_free int[];
	v_left bigint[];
	v_left_counts int[];
	v_add int[];
BEGIN
	SELECT array_agg(u.id ORDER BY u.id), array_agg(u.n ORDER BY u.id)
	INTO v_locks, v_free
	FROM unnest(p_locks, p_free) u(id, n)
	WHERE (u.id IN (SELECT unnest(p_lined))) IS TRUE;
	SELECT p.o_left, p.o_counts INTO v_left, v_left_counts
	FROM muster.lock_pop(v_locks, v_free) p;
	SELECT array_agg(u.n - coalesce(v_left_counts[array_position(v_left,
		u.id)], 0) ORDER BY u.o) INTO v_add
	FROM unnest(v_locks, v_free) WITH ORDINALITY u(id, n, o);
	PERFORM muster.lock_note(v_locks, v_add);
	-- Those that somebody else is just popping or cancelling.
	INSERT INTO muster.lock_freed (lock_id, n)
	SELECT u.id, 0 FROM unnest(muster.lock_lined(v_left)) u(id);
END
$$;
