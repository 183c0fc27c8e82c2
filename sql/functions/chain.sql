-- Chains: a worker runs some tasks of one concurrency key one after the other under
-- one slot. The first is claimed as ever; its followers come straight from the head
-- of the line of its key, and hold no slot: of a lease, as many of a key have one as
-- run at a time at most. A chain is in one lease, so that whoever takes a task out of
-- it sees who is left to keep the slot.

-- The end of a claim with chains: the rows of turn() for what claim() took
-- (ascending; p_line[i] says of which of p_route), and for the followers of those
-- that have a key: up to p_chain[l] for each that came from p_route[l], p_max in all,
-- p_max_bytes of payload. Leases have up to 200 tasks.
-- Locks: waiting (what others hold is stepped over), and for floors as lock_return().
-- Called by turn.
CREATE OR REPLACE FUNCTION muster.claim_chains(p_worker bigint,
	p_task bigint[], p_ticket smallint[], p_line int[], p_route int[],
	p_chain int[], p_max int, p_max_bytes bigint)
RETURNS TABLE (what text, lease bigint, task bigint, route int, rank int,
	lane int, seq bigint, flow bigint, attempt int, snoozes int,
	max_attempts int, timeout_ms bigint, has_needs boolean, payload text,
	rescues int, head bigint, nth int)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	v_more record;
	v_all record;
	v_lease bigint[];
	v_live bigint[];
	v_count int;
BEGIN
	SELECT * INTO v_more FROM muster.chain_take(p_task, p_ticket, p_line,
		p_route, p_chain, p_max, p_max_bytes);
	-- A chain is as one beside those that stand alone, and begins in the lease
	-- into which even the longest would fit.
	SELECT array_agg(u.t) AS task, array_agg(u.k) AS ticket,
		array_agg(p_route[u.l]) AS route, array_agg(u.h) AS head,
		array_agg(u.n) AS nth, array_agg(u.part) AS part,
		max(u.part) AS parts
	INTO v_all
	FROM (SELECT x.*, ((row_number() OVER (ORDER BY coalesce(x.h, x.t), x.n)
			- 1 - coalesce(x.n, 0)) / (200 - v_more.o_longest))::int
			+ 1 AS part
		FROM (SELECT t, k, l, NULL::bigint AS h, NULL::int AS n
			FROM unnest(p_task, p_ticket, p_line) y(t, k, l)
			UNION ALL
			SELECT * FROM unnest(v_more.o_task, v_more.o_ticket,
				v_more.o_line, v_more.o_head, v_more.o_nth)) x
		ORDER BY x.t) u;
	FOR i IN 1 .. v_all.parts LOOP
		v_lease[i] := nextval('muster.lease_id');
	END LOOP;
	RETURN QUERY
	SELECT 'c', v_lease[v_all.part[t.p]], t.id, v_all.route[t.p], NULL::int,
		NULL::int, NULL::bigint, t.flow_id, t.attempts + 1, t.snoozes,
		t.max_attempts, t.timeout_ms, t.has_needs,
		CASE WHEN t.size <= 65536 THEN t.payload END, t.rescues::int,
		v_all.head[t.p], v_all.nth[t.p]
	FROM (SELECT width_bucket(x.id, v_all.task) AS p, x.*
		FROM muster.task x
		WHERE x.id = ANY (v_all.task)
		OFFSET 0) t
	WHERE t.ticket = v_all.ticket[t.p] AND t.state IS NULL;
	GET DIAGNOSTICS v_count = ROW_COUNT;
	IF v_count < cardinality(v_all.task) THEN
		v_live := ARRAY(SELECT t.id FROM muster.task t
			WHERE t.id = ANY (v_all.task) AND t.state IS NULL
			AND t.ticket = v_all.ticket[width_bucket(t.id, v_all.task)]);
	END IF;
	INSERT INTO muster.lease (id, worker_id, taken_at, task_ids, followers)
	SELECT v_lease[u.part], p_worker, now(), array_agg(u.task ORDER BY u.task),
		array_agg(u.task ORDER BY u.nth, u.task)
			FILTER (WHERE u.nth IS NOT NULL)
	FROM unnest(v_all.task, v_all.part, v_all.nth) u(task, part, nth)
	WHERE v_live IS NULL OR (u.task IN (SELECT unnest(v_live))) IS TRUE
	GROUP BY u.part;
END
$$;

-- Takes the followers out of the lines of their keys: of each what stands at its
-- head, up to the first of another route, so nobody is passed by. Those of several
-- that were claimed of one key follow them in turn. Of a key whose limit was lowered
-- none comes. o_longest: the most in a chain.
CREATE OR REPLACE FUNCTION muster.chain_take(p_task bigint[],
	p_ticket smallint[], p_line int[], p_route int[], p_chain int[],
	p_max int, p_max_bytes bigint,
	OUT o_task bigint[], OUT o_ticket smallint[], OUT o_line int[],
	OUT o_head bigint[], OUT o_nth int[], OUT o_longest int)
LANGUAGE plpgsql AS $$
DECLARE
	v_closed bigint[] := ARRAY(SELECT c.lock_id FROM muster.lock_closed c);
	v_heads record;
	v_far bigint[];
BEGIN
	-- Ascending by key and route. One that is stale has no slot.
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
	-- The first look locks nothing: what is not taken is not kept from others.
	WITH k AS (
		SELECT u.lock, p_route[u.line] AS route, min(u.o) AS first,
			count(*) AS heads, min(u.line) AS line,
			max(least(p_chain[u.line], 100)) * count(*) AS most
		FROM unnest(v_heads.lock, v_heads.line) WITH ORDINALITY
			u(lock, line, o)
		GROUP BY 1, 2
	), seen AS MATERIALIZED (
		SELECT s.*, k.first, k.heads, k.line AS l, sum(s.size) OVER (
				ORDER BY s.n, k.first ROWS UNBOUNDED PRECEDING)
				<= p_max_bytes AS fits
		FROM k
		LEFT JOIN LATERAL (SELECT x.line, x.seq FROM muster.lock_floor x
			WHERE x.lock_id = k.lock ORDER BY x.gen DESC LIMIT 1) f ON true
		CROSS JOIN LATERAL (SELECT y.*, row_number() OVER w AS n,
				bool_and(y.route_id = k.route) OVER w AS same,
				y.line > f.line OR hashint8(y.seq) & 511 = 0 AS far
			FROM (SELECT x.ctid AS place, x.* FROM muster.waiting x
				WHERE x.lock_id = k.lock AND (x.line, x.seq)
					>= (coalesce(f.line, -20000),
					coalesce(f.seq, 0))
				ORDER BY x.line, x.seq LIMIT k.most) y
			WINDOW w AS (ORDER BY y.line, y.seq)) s
		WHERE s.same
		ORDER BY s.n, k.first LIMIT p_max
	), got AS MATERIALIZED (
		SELECT s.*, row_number() OVER (PARTITION BY s.lock_id ORDER BY s.n)
			- 1 AS o
		FROM seen s
		CROSS JOIN LATERAL (SELECT FROM muster.waiting x
			WHERE x.ctid = s.place FOR UPDATE SKIP LOCKED) y
		WHERE s.fits
	), gone AS (
		DELETE FROM muster.waiting x
		WHERE x.ctid = ANY (ARRAY(SELECT g.place FROM got g))
	)
	SELECT array_agg(g.task_id), array_agg(g.ticket), array_agg(g.l),
		array_agg(v_heads.task[(g.first + g.o % g.heads)::int]),
		array_agg((g.o / g.heads)::int + 1),
		coalesce(max(g.o / g.heads) + 1, 0),
		array_agg(DISTINCT g.lock_id) FILTER (WHERE g.far)
	INTO o_task, o_ticket, o_line, o_head, o_nth, o_longest, v_far
	FROM got g;
	IF v_far IS NOT NULL THEN
		PERFORM muster.lock_return(NULL, NULL, v_far);
	END IF;
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
		SELECT array_agg(u.id ORDER BY u.o) FILTER (WHERE u.stays),
			v_bare || array_agg(u.id) FILTER (WHERE NOT u.stays)
		INTO v_rest, v_bare
		FROM (SELECT f.id, f.o, (f.id IN (SELECT unnest(p_ids)))
				IS NOT TRUE AS stays
			FROM unnest(v_lease.followers) WITH ORDINALITY f(id, o)) u;
		SELECT array_agg(u.id ORDER BY u.o) FILTER (WHERE u.stays),
			array_agg(u.id) FILTER (WHERE NOT u.stays
				AND (u.id IN (SELECT unnest(v_lease.followers)))
					IS NOT TRUE)
		INTO v_left, v_went
		FROM (SELECT t.id, t.o, (t.id IN (SELECT unnest(p_ids)))
				IS NOT TRUE AS stays
			FROM unnest(v_lease.task_ids) WITH ORDINALITY t(id, o)) u;
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
