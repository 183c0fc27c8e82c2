-- Chains: a worker runs some tasks of one concurrency key one after the other under
-- one slot. The first is claimed as ever; its followers come straight from the head
-- of the line of its key, and hold no slot: of a lease, as many of a key have one as
-- run at a time at most. A chain is in one lease, so that whoever takes a task out of
-- it sees who is left to keep the slot.

-- The followers of what claim() took (p_task, ascending; p_line[i] says of which of
-- p_route): up to p_chain[l] for each that has a key and came from p_route[l], p_max in
-- all, p_max_bytes of payload. After p_task[i] come o_task[o_first[i]] to
-- o_task[o_last[i]]; o_task is null if there are none. They and p_task[i] go into
-- the lease of the number (i + o_first[i] - 2) / o_width + 1, of up to 200 tasks.
-- Of a key all that was claimed of one route is followed in turn; of one whose limit
-- was lowered none comes.
-- Locks: as chain_take(). Called by turn.
CREATE OR REPLACE FUNCTION muster.claim_chains(
	p_task bigint[], p_ticket smallint[], p_line int[], p_route int[],
	p_chain int[], p_max int, p_max_bytes bigint,
	OUT o_task bigint[], OUT o_first int[], OUT o_last int[],
	OUT o_width int)
LANGUAGE plpgsql AS $$
DECLARE
	v_closed bigint[] := ARRAY(SELECT c.lock_id FROM muster.lock_closed c);
	v_heads record;
	v_key record; -- each (key, route) of them; its heads begin at `first`
	v_got record;
	v_share int;
	v_more int[];
	v_left int := p_max;
	v_bytes bigint := p_max_bytes;
	v_at int[]; -- of each follower, where its head is in p_task
	v_mixed boolean;
BEGIN
	-- One that is stale has no slot.
	SELECT array_agg(h.p) AS p, array_agg(h.lock_id) AS lock,
		array_agg(h.line) AS line
	INTO v_heads
	FROM (SELECT t.p, t.lock_id, p_line[t.p] AS line
		FROM (SELECT width_bucket(x.id, (SELECT p_task || '{}')) AS p,
				x.lock_id, x.ticket, x.state
			FROM muster.task x WHERE x.id = ANY (p_task) OFFSET 0) t
		WHERE t.lock_id IS NOT NULL AND t.ticket = p_ticket[t.p]
			AND t.state IS NULL AND p_chain[p_line[t.p]] > 0
			AND t.lock_id <> ALL (v_closed)
		ORDER BY t.lock_id, p_route[p_line[t.p]], t.p) h;
	SELECT array_agg(k.lock) AS lock, array_agg(k.route) AS route,
		array_agg(k.at) AS at, array_agg(k.first) AS first,
		array_agg(k.heads) AS heads, sum(k.heads)::int AS open,
		array_agg(least(p_chain[k.line], 100) * k.heads) AS more
	INTO v_key
	FROM (SELECT u.lock, p_route[u.line] AS route, min(u.line) AS line,
			min(u.p) AS at, min(u.o)::int AS first,
			count(*)::int AS heads
		FROM unnest(v_heads.lock, v_heads.line, v_heads.p)
			WITH ORDINALITY u(lock, line, p, o)
		GROUP BY 1, 2 ORDER BY 4) k;
	v_mixed := v_key.open > cardinality(v_key.at);
	v_more := v_key.more;
	-- As many of each line; what short ones leave over goes to the others.
	WHILE v_left > 0 AND v_key.open > 0 LOOP
		v_share := least((v_left - 1) / v_key.open + 1, 100);
		SELECT * INTO v_got FROM muster.chain_take(v_key.lock,
			v_key.route, v_key.at, v_key.heads, v_more, v_share,
			v_left, v_bytes);
		EXIT WHEN v_got.o_task IS NULL;
		v_mixed := v_mixed OR o_task IS NOT NULL;
		o_task := o_task || v_got.o_task;
		v_at := v_at || v_got.o_at;
		v_left := p_max - cardinality(o_task);
		v_bytes := v_got.o_bytes;
		SELECT array_agg(m.more), sum(m.heads) FILTER (WHERE m.more > 0)
		INTO v_more, v_key.open
		FROM (SELECT k.heads, CASE WHEN width_bucket(k.at, v_got.o_at)
					- width_bucket(k.at - 1, v_got.o_at)
					= v_share * k.heads
				THEN k.more - v_share * k.heads ELSE 0 END AS more
			FROM unnest(v_key.at, v_key.heads, v_more)
				k(at, heads, more)) m;
	END LOOP;
	IF v_mixed THEN
		SELECT array_agg(u.task), array_agg(u.at)
		INTO o_task, v_at
		FROM (SELECT x.task, v_heads.p[v_key.first[x.k] + (row_number()
					OVER (PARTITION BY x.k ORDER BY x.o) - 1)
					% v_key.heads[x.k]] AS at
			FROM (SELECT y.*, width_bucket(y.at, v_key.at) AS k
				FROM unnest(o_task, v_at) WITH ORDINALITY
					y(task, at, o)) x
			ORDER BY 2, x.o) u;
	END IF;
	SELECT array_agg(u.first), array_agg(u.last),
		200 - max(u.last - u.first + 1)
	INTO o_first, o_last, o_width
	FROM (SELECT width_bucket(i - 1, v_at) + 1 AS first,
			width_bucket(i, v_at) AS last
		FROM generate_series(1, cardinality(p_task)) i
		WHERE o_task IS NOT NULL) u;
END
$$;

-- Takes followers out of the lines of keys, for p_route[i] those at the head of that
-- of p_lock[i], up to the first of another route, so nobody is passed by: for each of
-- p_heads[i] heads p_share, p_more[i] in all, p_max of all keys, p_max_bytes of
-- payload. In the order of the lines, line after line; o_at: p_at of each (ascending).
-- o_bytes: what of p_max_bytes is left.
-- Locks: waiting (what others hold is stepped over), and for floors as lock_return().
CREATE OR REPLACE FUNCTION muster.chain_take(
	p_lock bigint[], p_route int[], p_at int[], p_heads int[], p_more int[],
	p_share int, p_max int, p_max_bytes bigint,
	OUT o_task bigint[], OUT o_at int[], OUT o_bytes bigint)
LANGUAGE plpgsql AS $$
DECLARE
	v_place tid[];
	v_same boolean;
	v_far bigint[];
BEGIN
	SELECT array_agg(y.place), array_agg(y.task_id), array_agg(y.at),
		p_max_bytes - sum(y.size), bool_and(y.same),
		array_agg(y.lock_id) FILTER (WHERE y.far)
	INTO v_place, o_task, o_at, o_bytes, v_same, v_far
	FROM (SELECT w.place, w.task_id, k.at, w.size, w.lock_id,
			w.route_id = k.route AS same,
			w.line > f.line OR hashint8(w.seq) & 511 = 0 AS far
		FROM unnest(p_lock, p_route, p_at, p_heads, p_more)
			k(lock, route, at, heads, more)
		LEFT JOIN LATERAL (SELECT x.line, x.seq FROM muster.lock_floor x
			WHERE x.lock_id = k.lock ORDER BY x.gen DESC LIMIT 1) f
			ON true
		CROSS JOIN LATERAL (SELECT x.ctid AS place, x.*
			FROM muster.waiting x
			WHERE x.lock_id = k.lock AND (x.line, x.seq)
				>= (coalesce(f.line, -20000), coalesce(f.seq, 0))
			ORDER BY x.line, x.seq
			LIMIT least(k.more, p_share * k.heads)
			FOR UPDATE SKIP LOCKED) w
		WHERE k.more > 0
		LIMIT p_max) y;
	IF NOT v_same OR o_bytes < 0 THEN
		SELECT c.* INTO v_place, o_at, o_bytes, o_task
		FROM muster.chain_fitting(v_place, o_at, p_at, p_route,
			p_max_bytes) c;
	END IF;
	DELETE FROM muster.waiting w WHERE w.ctid = ANY (v_place);
	IF v_far IS NOT NULL THEN
		PERFORM muster.lock_return(NULL, NULL, v_far);
	END IF;
END
$$;

-- Of what stands at the heads of some lines, locked by the caller, as much as
-- p_max_bytes allow, of each line about as many, and none from the first of another
-- route on. The rest stays where it is.
CREATE OR REPLACE FUNCTION muster.chain_fitting(
	INOUT p_place tid[], INOUT p_at int[], p_key_at int[], p_key_route int[],
	INOUT p_max_bytes bigint, OUT o_task bigint[])
LANGUAGE plpgsql AS $$
BEGIN
	SELECT array_agg(u.place ORDER BY u.o), array_agg(u.task_id ORDER BY u.o),
		array_agg(u.at ORDER BY u.o), p_max_bytes - sum(u.size)
	INTO p_place, o_task, p_at, p_max_bytes
	FROM (SELECT s.*, sum(s.size) OVER (ORDER BY s.n, s.at) AS bytes
		FROM (SELECT x.*, w.task_id, w.size, row_number() OVER v AS n,
				bool_and(w.route_id = p_key_route[
					width_bucket(x.at, p_key_at)]) OVER v
					AS same
			FROM unnest(p_place, p_at) WITH ORDINALITY x(place, at, o)
			CROSS JOIN LATERAL (SELECT y.task_id, y.route_id, y.size
				FROM muster.waiting y
				WHERE y.ctid = x.place OFFSET 0) w
			WINDOW v AS (PARTITION BY x.at ORDER BY x.o)) s
		WHERE s.same) u
	WHERE u.bytes <= p_max_bytes;
END
$$;

-- Leases as claim_chains() parts them; without those of p_task that p_live, if not
-- null, lacks.
CREATE OR REPLACE FUNCTION muster.chain_lease(p_worker bigint,
	p_lease bigint[], p_task bigint[], p_follower bigint[],
	p_first int[], p_last int[], p_width int, p_live bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO muster.lease (id, worker_id, taken_at, task_ids, followers)
	SELECT l.id, p_worker, now(), ARRAY(SELECT x FROM unnest(l.heads
			|| l.followers) x ORDER BY 1), nullif(l.followers, '{}')
	FROM (SELECT p_lease[u.part] AS id, p_follower[min(u.first):max(u.last)]
				AS followers, array_agg(u.task)
				FILTER (WHERE p_live IS NULL
				OR (u.task IN (SELECT unnest(p_live))) IS TRUE)
				AS heads
		FROM (SELECT y.*, (y.o + y.first - 2) / p_width + 1 AS part
			FROM unnest(p_task, p_first, p_last) WITH ORDINALITY
				y(task, first, last, o)) u
		GROUP BY u.part) l
	WHERE l.heads || l.followers <> '{}';
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
		FROM (SELECT x.id, max(x.o) AS o,
				p_ids[width_bucket(x.id, (SELECT p_ids || '{}'))]
					IS DISTINCT FROM x.id AS stays
			FROM (SELECT t.id, NULL::bigint AS o
				FROM unnest(v_lease.task_ids) t(id)
				UNION ALL SELECT * FROM unnest(v_lease.followers)
					WITH ORDINALITY) x
			GROUP BY x.id) u;
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
