-- Chains: a worker runs some tasks of one concurrency key one after the other under
-- one slot. The first is claimed as ever; its followers come straight from the head
-- of the line of its key, and hold no slot: of a lease, as many of a key have one as
-- run at a time at most. A chain is in one lease, so that whoever takes a task out of
-- it sees who is left to keep the slot.

-- What claim() took (ascending; o_line[i] says of which of p_route), and its followers
-- beside it: up to p_chain[l] for each that has a key and came from p_route[l], p_max in
-- all, p_max_bytes of payload. o_head[i]: whom o_task[i] follows, at the place o_nth[i]
-- (0 where it follows nobody: an array with nulls is walked for each of its elements);
-- o_part[i]: in which lease, of up to 200 tasks, it goes.
-- Locks: as chain_take(). Called by turn.
CREATE OR REPLACE FUNCTION muster.claim_chains(
	INOUT o_task bigint[], INOUT o_ticket smallint[], INOUT o_line int[],
	p_route int[], p_chain int[], p_max int, p_max_bytes bigint,
	OUT o_head bigint[], OUT o_nth int[], OUT o_part int[])
LANGUAGE plpgsql AS $$
DECLARE
	v_more record;
BEGIN
	SELECT * INTO v_more FROM muster.chain_take(o_task, o_ticket, o_line,
		p_route, p_chain, p_max, p_max_bytes);
	-- A chain is as one beside those that stand alone, and begins in the lease
	-- into which even the longest would fit.
	SELECT array_agg(u.t), array_agg(u.k), array_agg(u.l), array_agg(u.h),
		array_agg(u.n), array_agg(u.part)
	INTO o_task, o_ticket, o_line, o_head, o_nth, o_part
	FROM (SELECT x.t, x.k, x.l, CASE WHEN x.n > 0 THEN x.h ELSE 0 END AS h,
			x.n, ((row_number() OVER (ORDER BY x.h, x.n) - 1 - x.n)
			/ (200 - v_more.o_longest))::int + 1 AS part
		FROM (SELECT t, k, l, t AS h, 0 AS n
			FROM unnest(o_task, o_ticket, o_line) y(t, k, l)
			UNION ALL
			SELECT * FROM unnest(v_more.o_task, v_more.o_ticket,
				v_more.o_line, v_more.o_head, v_more.o_nth)) x
		ORDER BY x.t) u;
END
$$;

-- Takes the followers out of the lines of their keys: of each what stands at its
-- head, up to the first of another route, so nobody is passed by. Those of several
-- that were claimed of one key follow them in turn. Of a key whose limit was lowered
-- none comes. o_longest: the most in a chain.
-- Locks: waiting (what others hold is stepped over), and for floors as lock_return().
CREATE OR REPLACE FUNCTION muster.chain_take(p_task bigint[],
	p_ticket smallint[], p_line int[], p_route int[], p_chain int[],
	p_max int, p_max_bytes bigint,
	OUT o_task bigint[], OUT o_ticket smallint[], OUT o_line int[],
	OUT o_head bigint[], OUT o_nth int[], OUT o_longest int)
LANGUAGE plpgsql AS $$
DECLARE
	v_closed bigint[] := ARRAY(SELECT c.lock_id FROM muster.lock_closed c);
	v_heads record;
	v_key record; -- each (key, route) of them; its heads begin at `first`
	v_got record; -- of each key in the order of its line, key after key
BEGIN
	o_longest := 0;
	-- One that is stale has no slot.
	SELECT array_agg(h.id) AS task, array_agg(h.lock_id) AS lock,
		array_agg(h.line) AS line
	INTO v_heads
	FROM (SELECT t.id, t.lock_id, p_line[t.p] AS line
		FROM (SELECT width_bucket(x.id, (SELECT p_task || '{}')) AS p, x.id,
				x.lock_id, x.ticket, x.state
			FROM muster.task x WHERE x.id = ANY (p_task) OFFSET 0) t
		WHERE t.lock_id IS NOT NULL AND t.ticket = p_ticket[t.p]
			AND t.state IS NULL AND p_chain[p_line[t.p]] > 0
			AND t.lock_id <> ALL (v_closed)
		ORDER BY t.lock_id, p_route[p_line[t.p]], t.id) h;
	SELECT array_agg(k.lock) AS lock, array_agg(k.route) AS route,
		array_agg(k.line) AS line, array_agg(k.first) AS first,
		array_agg(k.heads) AS heads
	INTO v_key
	FROM (SELECT u.lock, p_route[u.line] AS route, min(u.line) AS line,
			min(u.o)::int AS first, count(*)::int AS heads
		FROM unnest(v_heads.lock, v_heads.line) WITH ORDINALITY
			u(lock, line, o)
		GROUP BY 1, 2 ORDER BY 4) k;
	SELECT array_agg(y.place) AS place, array_agg(y.task_id) AS task,
		array_agg(y.ticket) AS ticket, array_agg(k.o::int) AS key,
		array_agg(y.size) AS size, array_agg(y.route_id) AS route,
		bool_and(y.route_id = k.route) AND count(*) <= p_max
			AND sum(y.size) <= p_max_bytes AS fits,
		array_agg(k.lock) FILTER (WHERE y.line > f.line
			OR hashint8(y.seq) & 511 = 0) AS far
	INTO v_got
	FROM unnest(v_key.lock, v_key.route, v_key.line, v_key.heads)
		WITH ORDINALITY k(lock, route, line, heads, o)
	LEFT JOIN LATERAL (SELECT x.line, x.seq FROM muster.lock_floor x
		WHERE x.lock_id = k.lock ORDER BY x.gen DESC LIMIT 1) f ON true
	CROSS JOIN LATERAL (SELECT x.ctid AS place, x.* FROM muster.waiting x
		WHERE x.lock_id = k.lock AND (x.line, x.seq)
			>= (coalesce(f.line, -20000), coalesce(f.seq, 0))
		ORDER BY x.line, x.seq
		LIMIT least(p_chain[k.line], 100) * k.heads
		FOR UPDATE SKIP LOCKED) y;
	IF NOT v_got.fits THEN
		SELECT c.* INTO v_got.place, v_got.task, v_got.ticket, v_got.key
		FROM muster.chain_fitting(v_got.place, v_got.task, v_got.ticket,
			v_got.key, v_got.size, v_got.route, v_key.route, p_max,
			p_max_bytes) c;
	END IF;
	IF v_got.task IS NOT NULL THEN
		DELETE FROM muster.waiting w WHERE w.ctid = ANY (v_got.place);
		o_task := v_got.task;
		o_ticket := v_got.ticket;
		SELECT array_agg(v_key.line[u.key]),
			array_agg(v_heads.task[v_key.first[u.key]
				+ u.n % v_key.heads[u.key]]),
			array_agg(u.n / v_key.heads[u.key] + 1),
			max(u.n / v_key.heads[u.key] + 1)
		INTO o_line, o_head, o_nth, o_longest
		FROM (SELECT x.key, x.o::int - 1
				- width_bucket(x.key - 1, v_got.key) AS n
			FROM unnest(v_got.key) WITH ORDINALITY x(key, o)) u;
	END IF;
	IF v_got.far IS NOT NULL THEN
		PERFORM muster.lock_return(NULL, NULL, v_got.far);
	END IF;
END
$$;

-- Of what stands at the heads of some lines as much as p_max and p_max_bytes allow, of
-- each line about as many, and none from the first of another route on. The rest
-- stays where it is.
CREATE OR REPLACE FUNCTION muster.chain_fitting(
	INOUT p_place tid[], INOUT p_task bigint[], INOUT p_ticket smallint[],
	INOUT p_key int[], p_size int[], p_route int[], p_key_route int[],
	p_max int, p_max_bytes bigint)
LANGUAGE plpgsql AS $$
BEGIN
	SELECT array_agg(u.place ORDER BY u.o), array_agg(u.task ORDER BY u.o),
		array_agg(u.ticket ORDER BY u.o), array_agg(u.key ORDER BY u.o)
	INTO p_place, p_task, p_ticket, p_key
	FROM (SELECT s.*, row_number() OVER w AS many, sum(s.size) OVER w AS bytes
		FROM (SELECT x.*, row_number() OVER v AS n,
				bool_and(x.route = p_key_route[x.key]) OVER v AS same
			FROM unnest(p_place, p_task, p_ticket, p_key, p_size,
				p_route) WITH ORDINALITY
				x(place, task, ticket, key, size, route, o)
			WINDOW v AS (PARTITION BY x.key ORDER BY x.o)) s
		WHERE s.same
		WINDOW w AS (ORDER BY s.n, s.key)) u
	WHERE u.many <= p_max AND u.bytes <= p_max_bytes;
END
$$;

-- Leases as claim_chains() parts them; without those that p_live, if not null, lacks.
CREATE OR REPLACE FUNCTION muster.chain_lease(p_worker bigint,
	p_lease bigint[], p_task bigint[], p_nth int[], p_part int[],
	p_live bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO muster.lease (id, worker_id, taken_at, task_ids, followers)
	SELECT p_lease[u.part], p_worker, now(), array_agg(u.task ORDER BY u.o),
		array_agg(u.task ORDER BY u.nth, u.o)
			FILTER (WHERE u.nth > 0)
	FROM unnest(p_task, p_part, p_nth) WITH ORDINALITY u(task, part, nth, o)
	WHERE p_live IS NULL OR (u.task IN (SELECT unnest(p_live))) IS TRUE
	GROUP BY u.part;
END
$$;

-- Of leases with followers (p_leases, locked by the caller) the tasks p_ids
-- (ascending) leave: gives those of them that have no slot to hand on, since they
-- never had one, or since a follower that stays needs it. What leaves is taken out
-- of the leases, of which those that become empty are left to the caller.
CREATE OR REPLACE FUNCTION muster.finish_chains(
	p_leases bigint[], p_ids bigint[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	v_lease muster.lease;
	v_left bigint[];
	v_rest bigint[];
	v_went bigint[];
	v_heirs bigint[];
	v_givers bigint[];
	v_bare bigint[] := '{}';
BEGIN
	FOR v_lease IN SELECT * FROM muster.lease l
			WHERE l.id = ANY (p_leases) AND l.followers IS NOT NULL LOOP
		SELECT array_agg(u.id ORDER BY u.id) FILTER (WHERE u.stays),
			array_agg(u.id ORDER BY u.o)
				FILTER (WHERE u.stays AND u.o IS NOT NULL),
			array_agg(u.id) FILTER (WHERE NOT u.stays AND u.o IS NULL),
			v_bare || array_agg(u.id)
				FILTER (WHERE NOT u.stays AND u.o IS NOT NULL)
		INTO v_left, v_rest, v_went, v_bare
		FROM (SELECT t.id, array_position(v_lease.followers, t.id) AS o,
				p_ids[width_bucket(t.id, (SELECT p_ids || '{}'))]
					IS DISTINCT FROM t.id AS stays
			FROM unnest(v_lease.task_ids) t(id)) u;
		IF v_rest IS NOT NULL AND v_went IS NOT NULL THEN
			SELECT c.o_heirs, c.o_givers INTO v_heirs, v_givers
			FROM muster.chain_heirs(v_rest, v_went) c;
			v_bare := v_bare || v_givers;
			v_rest := ARRAY(SELECT f.id
				FROM unnest(v_rest) WITH ORDINALITY f(id, o)
				WHERE f.id <> ALL (v_heirs) ORDER BY f.o);
		END IF;
		UPDATE muster.lease l
		SET task_ids = v_left, followers = nullif(v_rest, '{}')
		WHERE l.id = v_lease.id AND v_left IS NOT NULL;
	END LOOP;
	RETURN nullif(v_bare, '{}');
END
$$;

-- p_went leave a lease with their slots, p_rest (in order) stay without: those who
-- get a slot, and those who give it.
CREATE OR REPLACE FUNCTION muster.chain_heirs(
	p_rest bigint[], p_went bigint[],
	OUT o_heirs bigint[], OUT o_givers bigint[])
LANGUAGE plpgsql AS $$
BEGIN
	WITH rest AS (
		SELECT t.id, t.lock_id, row_number() OVER (PARTITION BY t.lock_id
			ORDER BY array_position(p_rest, t.id)) AS n
		FROM muster.task t WHERE t.id = ANY (p_rest)
	), went AS (
		SELECT t.id, t.lock_id, row_number() OVER (PARTITION BY t.lock_id
			ORDER BY t.id) AS n
		FROM muster.task t WHERE t.id = ANY (p_went)
	)
	SELECT coalesce(array_agg(r.id), '{}'), coalesce(array_agg(w.id), '{}')
	INTO o_heirs, o_givers
	FROM rest r JOIN went w ON w.lock_id = r.lock_id AND w.n = r.n;
END
$$;
