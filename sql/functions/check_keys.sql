-- The invariants of keys. STABLE: they see the same moment as those that ask.

-- 4: concurrency keys; 9: unique keys.
CREATE OR REPLACE FUNCTION muster.check_keys_of()
RETURNS TABLE (invariant int, task_id bigint, detail text)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	WITH held AS (
		SELECT DISTINCT ON (h.lock_id) h.* FROM muster.lock_held h
		ORDER BY h.lock_id, h.gen DESC
	), freed AS (
		SELECT f.lock_id, sum(f.n) AS n FROM muster.lock_freed f
		GROUP BY f.lock_id
	), stands AS (
		SELECT t.lock_id, count(*) AS n
		FROM (SELECT r.task_id, r.ticket FROM muster.ready r
			UNION ALL SELECT u.id, NULL FROM muster.lease l
			CROSS JOIN LATERAL unnest(l.task_ids) u(id)
			WHERE (u.id = ANY (l.followers)) IS NOT TRUE
			UNION ALL SELECT c.task_id, NULL FROM muster.container c) p
		JOIN muster.task t ON t.id = p.task_id
			AND coalesce(p.ticket, t.ticket) = t.ticket
		WHERE t.lock_id IS NOT NULL
		GROUP BY t.lock_id
	), key AS (
		SELECT coalesce(k.id, s.lock_id) AS id, k.name, k.slots, k.most,
			h.held, coalesce(f.n, 0) AS freed,
			f.lock_id IS NOT NULL AS pending,
			coalesce(s.n, 0) AS stands
		FROM muster.lock_key k
		FULL JOIN stands s ON s.lock_id = k.id
		LEFT JOIN held h ON h.lock_id = coalesce(k.id, s.lock_id)
		LEFT JOIN freed f ON f.lock_id = coalesce(k.id, s.lock_id)
	)
	SELECT 4, NULL::bigint, format('key %s counts %s held slots, %s of them '
		'given back, but %s tasks have one', coalesce(k.name,
		k.id::text), k.held, k.freed, k.stands)
	FROM key k WHERE k.held - k.freed IS DISTINCT FROM k.stands
	UNION ALL
	SELECT 4, NULL, format('key %s: %s tasks have a slot, of %s', k.name,
		k.stands, k.most)
	FROM key k WHERE k.stands > k.most
	UNION ALL
	SELECT 4, min(w.task_id), format('%s tasks wait for key %s, of which '
		'%s slots of %s are held', count(*), k.name, k.held, k.slots)
	FROM muster.waiting w
	JOIN key k ON k.id = w.lock_id
	WHERE NOT k.pending AND k.held < k.slots
		AND w.route_id <> ALL (muster.lock_shut())
	GROUP BY k.name, k.held, k.slots
	UNION ALL
	SELECT 4, w.task_id, format('waits below the floor of its key %s, or '
		'that is none', k.name)
	FROM muster.waiting w LEFT JOIN key k ON k.id = w.lock_id
	LEFT JOIN (SELECT DISTINCT ON (x.lock_id) x.* FROM muster.lock_floor x
		ORDER BY x.lock_id, x.gen DESC) f ON f.lock_id = w.lock_id
	WHERE k.name IS NULL OR (w.line, w.seq) < (f.line, f.seq)
	UNION ALL
	SELECT 4, f.id, format('follows in lease %s, %s', l.id, CASE
		WHEN f.id <> ALL (l.task_ids) THEN 'which does not hold it'
		ELSE 'where nobody has a slot of its key' END)
	FROM muster.lease l CROSS JOIN LATERAL unnest(l.followers) f(id)
	WHERE f.id <> ALL (l.task_ids) OR NOT EXISTS (SELECT FROM muster.task t
		JOIN muster.task h ON h.lock_id = t.lock_id
		WHERE t.id = f.id AND h.id = ANY (l.task_ids)
			AND h.id <> ALL (l.followers))
	UNION ALL
	SELECT 4, w.task_id, 'waits for a key under an old ticket'
	FROM muster.waiting w WHERE NOT EXISTS (SELECT FROM muster.task t
		WHERE t.id = w.task_id AND t.ticket = w.ticket)
	UNION ALL
	SELECT 9, u.task_id, format('has the unique key %s, but %s',
		to_json(u.key), CASE WHEN t.id IS NULL THEN 'does not exist'
		WHEN t.state IS NOT NULL THEN 'has ended' ELSE 'never asked for it'
		END)
	FROM muster.unique_key u LEFT JOIN muster.task t ON t.id = u.task_id
	WHERE (u.until IS NULL AND (t.id IS NULL OR t.state IS NOT NULL))
		OR t.unique_key <> u.key;
END
$$;
