-- The oracle of every fault test: a row for each violation, none when all is
-- well. Reads everything in one statement, so it sees one moment.

CREATE OR REPLACE FUNCTION muster.check_invariants()
RETURNS TABLE (invariant int, task_id bigint, detail text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	WITH leased AS (
		SELECT unnest(l.task_ids) AS task_id, l.id, l.worker_id
		FROM muster.lease l
	), place AS (
		SELECT a.task_id, 'arriving' AS place, NULL::smallint AS ticket
		FROM muster.arriving a
		UNION ALL SELECT coalesce(b.first, b.task_id)
				+ generate_series(0, b.n - 1), 'blocked', b.ticket
		FROM muster.blocked b
		UNION ALL SELECT s.task_id, 'scheduled', s.ticket
		FROM muster.scheduled s
		UNION ALL SELECT w.task_id, 'waiting', w.ticket
		FROM muster.waiting w
		UNION ALL SELECT generate_series(r.task_id, r.task_id + r.n - 1),
			'ready', r.ticket
		FROM muster.ready r
		UNION ALL SELECT l.task_id, 'lease', NULL FROM leased l
		UNION ALL SELECT c.task_id, 'container', NULL
		FROM muster.container c
		UNION ALL SELECT m.task_id, 'remainder', NULL
		FROM muster.remainder m
		WHERE m.was IS NULL AND m.cursor = 0 AND EXISTS (
			SELECT FROM muster.task t
			WHERE t.id = m.task_id AND t.state IS NULL)
	), stands AS (
		SELECT t.id, t.state, count(p.place) AS n,
			string_agg(p.place, ', ' ORDER BY p.place) AS places
		FROM muster.task t
		LEFT JOIN place p ON p.task_id = t.id
			AND coalesce(p.ticket, t.ticket) = t.ticket
		GROUP BY t.id
	), begun AS ( -- with how many needs that are not looked at yet
		SELECT p.task_id, p.placed, n.n,
			n.n - greatest(p.placed, 0) AS left
		FROM muster.placing p
		JOIN muster.blocked b ON b.task_id = p.task_id
		JOIN muster.task t ON t.id = p.task_id AND t.life = p.life
		CROSS JOIN LATERAL (SELECT cardinality(x.ids) AS n
			FROM muster.needs x WHERE x.task_id = p.task_id OFFSET 0) n
	), told AS ( -- what each edge of a waiting task has brought so far
		SELECT b.task_id, b.need, b.spare, n.least,
			u.n, coalesce(a.left, 0) AS left,
			CASE WHEN r.task_id IS NOT NULL THEN
					CASE WHEN e.life < t.life THEN r.was END
				WHEN t.state IS NOT NULL THEN t.state
				WHEN e.life < t.life THEN t.settled END AS outcome,
			e.cond
		FROM muster.blocked b
		CROSS JOIN LATERAL (SELECT x.* FROM muster.needs x -- of a set: of any
			WHERE x.task_id BETWEEN coalesce(b.first, b.task_id)
				AND coalesce(b.first, b.task_id) + b.n - 1
			ORDER BY x.task_id LIMIT 1) n
		CROSS JOIN LATERAL ( -- cardinality() would unpack it for each row
			SELECT x.id, count(*) OVER () AS n FROM unnest(n.ids) x(id)
			OFFSET 0) u
		LEFT JOIN begun a ON a.task_id = b.task_id
		JOIN muster.edge e ON e.need = u.id AND e.task_id = b.task_id
		JOIN muster.task t ON t.id = u.id
		LEFT JOIN LATERAL (SELECT m.task_id, m.was FROM muster.remainder m
			WHERE m.task_id = u.id AND m.cursor < b.task_id LIMIT 1)
			r ON true
		WHERE (a.placed < 0) IS NOT TRUE
	), waits AS (
		SELECT w.task_id, w.need, w.spare, w.least, w.n, w.left
			+ count(*) FILTER (WHERE w.outcome IS NULL) AS pending,
			count(*) FILTER (WHERE w.outcome IS NOT NULL
				AND muster.edge_met(w.cond, w.outcome)) AS met,
			w.n - w.left - count(*) AS before -- had ended at its admission
		FROM told w
		GROUP BY w.task_id, w.need, w.spare, w.least, w.n, w.left
	), counted AS (
		SELECT f.id, f.total, f.succeeded, f.failed, f.cancelled, f.skipped
		FROM muster.flow f WHERE NOT f.purging
		UNION ALL
		SELECT d.flow_id, d.total, d.succeeded, d.failed, d.cancelled,
			d.skipped
		FROM muster.flow_uncounted d
		UNION ALL -- successes of inner steps
		SELECT t.flow_id, 0, 1, 0, 0, 0 FROM muster.task t
		WHERE t.state = 's' AND t.sole < 0
		UNION ALL -- what a map is still to create
		SELECT p.flow_id, p.created - p.counted, 0, 0, 0, 0
		FROM muster.container_plan p WHERE p.flow_id IS NOT NULL
	), flows AS (
		SELECT c.id, sum(c.total) AS total, sum(c.succeeded) AS succeeded,
			sum(c.failed) AS failed, sum(c.cancelled) AS cancelled,
			sum(c.skipped) AS skipped
		FROM counted c GROUP BY c.id
	), inner_steps AS ( -- that are told to nobody when they succeed
		SELECT t.flow_id, count(*) AS n, max(t.id) AS last
		FROM muster.task t WHERE t.sole < 0 GROUP BY t.flow_id
	), uncounted AS (
		SELECT u.flow_id FROM muster.flow_uncounted u GROUP BY u.flow_id
	), tasks AS (
		SELECT t.flow_id, count(*) AS total,
			count(*) FILTER (WHERE t.state = 's') AS succeeded,
			count(*) FILTER (WHERE t.state = 'f') AS failed,
			count(*) FILTER (WHERE t.state = 'c') AS cancelled,
			count(*) FILTER (WHERE t.state = 'k') AS skipped
		FROM muster.task t
		WHERE t.flow_id IS NOT NULL AND NOT EXISTS (
			SELECT FROM muster.arriving a
			WHERE a.task_id = t.id AND a.flow_id IS NOT NULL)
		GROUP BY t.flow_id
	)
	SELECT 1, s.id, format('open and in %s places: %s', s.n,
		coalesce(s.places, 'none'))
	FROM stands s WHERE s.state IS NULL AND s.n <> 1
	UNION ALL
	SELECT 1, s.id, format('%s and in a place: %s',
		muster.state_name(s.state), s.places)
	FROM stands s WHERE s.state IS NOT NULL AND s.n <> 0
	UNION ALL
	SELECT 1, l.task_id, format('in lease %s and does not exist', l.id)
	FROM leased l WHERE NOT EXISTS (
		SELECT FROM muster.task t WHERE t.id = l.task_id)
	UNION ALL
	SELECT 1, r.task_id, format('ready in lane %s as the first of %s in a row, '
		'of %s bytes, with key %s', r.lane, r.n, r.size,
		coalesce(r.lock_id::text, 'none'))
	FROM muster.ready r
	WHERE r.n NOT BETWEEN 1 AND 16 OR r.size % r.n <> 0
		OR r.n > 1 AND (r.lane = 8 OR r.lock_id IS NOT NULL)
	UNION ALL
	SELECT 2, w.task_id, format('blocked with need %s spare %s, but of its '
		'%s needs, %s of which are wanted, %s are to come, %s met and %s '
		'had ended before', w.need, w.spare, w.n, coalesce(w.least, w.n),
		w.pending, w.met, w.before)
	FROM waits w
	WHERE w.need + w.spare <> w.pending OR w.need <= 0
		OR coalesce(w.least, w.n) - w.need - w.met NOT BETWEEN
			CASE WHEN w.least IS NULL THEN w.before ELSE 0 END
			AND w.before
	UNION ALL
	SELECT 2, b.task_id, 'blocked without an edge'
	FROM muster.blocked b WHERE NOT EXISTS (
		SELECT FROM waits w WHERE w.task_id = b.task_id)
		AND NOT EXISTS (SELECT FROM begun a WHERE a.task_id = b.task_id)
		AND NOT EXISTS ( -- a set that is to be skipped
			SELECT FROM muster.remainder r WHERE r.task_id = b.task_id)
	UNION ALL
	SELECT 2, a.task_id, format('%s of its %s needs are looked at, it stands '
		'in line for more %s times', max(a.placed), max(a.n), count(*))
	FROM begun a GROUP BY a.task_id
	HAVING count(*) > 1 OR max(a.placed) >= max(a.n)
	UNION ALL -- without an edge, and not all of them are looked at
	SELECT 2, a.task_id, format('blocked with need %s spare %s, and %s of its '
		'needs are not looked at', b.need, b.spare, a.left)
	FROM begun a JOIN muster.blocked b ON b.task_id = a.task_id
	WHERE CASE WHEN a.placed < 0
		THEN least(b.need, b.spare) < muster.place_guard() / 2
		ELSE b.need + b.spare <> a.left AND NOT EXISTS (
			SELECT FROM waits w WHERE w.task_id = a.task_id) END
	UNION ALL
	SELECT 2, a.task_id, format('its edge from %s is of an earlier life, and '
		'was taken away', e.need)
	FROM begun a
	CROSS JOIN LATERAL (SELECT x.ids[: a.n + a.placed] AS ids
		FROM muster.needs x WHERE x.task_id = a.task_id OFFSET 0) n
	JOIN muster.edge e ON e.task_id = a.task_id AND e.need = ANY (n.ids)
	WHERE a.placed < 0
	UNION ALL
	SELECT 2, b.task_id, format('a set of %s from %s on, mixed: %s', b.n,
		b.first, b.mixed)
	FROM muster.blocked b WHERE b.n NOT BETWEEN 1 AND 16
		OR (b.n > 1) <> (b.first IS NOT NULL) OR b.mixed AND b.n = 1
		OR b.n > 1 AND (b.first + b.n <> b.task_id OR b.run_at IS NOT NULL
			OR b.lock_id IS NOT NULL)
	UNION ALL
	SELECT 2, t.id, format('stands in set %s and is of set %s, line %s %s %s',
		b.task_id, t.set_id, t.route_id, t.rank, t.lane)
	FROM muster.blocked b
	JOIN muster.task t ON t.id BETWEEN b.first AND b.first + b.n - 1
	WHERE t.set_id IS DISTINCT FROM b.task_id
		OR t.ticket = b.ticket AND NOT b.mixed
		AND (t.route_id, t.rank, t.lane) <> (b.route_id, b.rank, b.lane)
	UNION ALL
	SELECT 3, NULL, format('lease %s is of worker %s, which is %s', l.id,
		l.worker_id, CASE WHEN w.id IS NULL THEN 'absent'
		ELSE 'dead' END)
	FROM muster.lease l LEFT JOIN muster.worker w ON w.id = l.worker_id
	WHERE w.id IS NULL OR w.dead_at IS NOT NULL
	UNION ALL
	SELECT 3, c.task_id, format('to be cancelled by worker %s, which does '
		'not hold it', c.worker_id)
	FROM muster.cancelling c WHERE NOT EXISTS (SELECT FROM leased l
		WHERE l.task_id = c.task_id AND l.worker_id = c.worker_id)
	UNION ALL
	SELECT c.invariant, c.task_id, c.detail FROM muster.check_keys_of() c
	UNION ALL
	SELECT 5, NULL, format('flow %s counts %s %s %s %s of %s, its tasks are '
		'%s %s %s %s of %s (succeeded, failed, cancelled, skipped)',
		f.id, f.succeeded, f.failed, f.cancelled, f.skipped, f.total,
		t.succeeded, t.failed, t.cancelled, t.skipped, t.total)
	FROM flows f FULL JOIN tasks t ON t.flow_id = f.id
	WHERE (f.total, f.succeeded, f.failed, f.cancelled, f.skipped)
		IS DISTINCT FROM
		(coalesce(t.total, 0), coalesce(t.succeeded, 0),
		coalesce(t.failed, 0), coalesce(t.cancelled, 0),
		coalesce(t.skipped, 0))
		AND EXISTS (SELECT FROM muster.flow x
			WHERE x.id = coalesce(f.id, t.flow_id) AND NOT x.purging)
	UNION ALL
	SELECT 5, NULL, format('flow %s is %s, nothing of it is to be counted, and '
		'%s of %s have ended', f.id, x.state, f.succeeded + f.failed
		+ f.cancelled + f.skipped, f.total)
	FROM flows f JOIN muster.flow x ON x.id = f.id
	WHERE NOT x.purging
		AND (f.succeeded + f.failed + f.cancelled + f.skipped = f.total)
		<> (x.finished_at IS NOT NULL)
		AND NOT EXISTS (SELECT FROM uncounted u WHERE u.flow_id = f.id)
		AND NOT EXISTS (SELECT FROM muster.container_plan p
			WHERE p.flow_id = f.id AND p.created < p.counted)
	UNION ALL
	SELECT 5, NULL, format('flow %s has %s inner steps, up to %s, and counts %s '
		'up to %s without a look', f.id, coalesce(i.n, 0), i.last,
		f.inner_steps, f.inner_to)
	FROM muster.flow f LEFT JOIN inner_steps i ON i.flow_id = f.id
	WHERE NOT f.purging AND (i.last > f.inner_to OR i.n > f.inner_steps
		OR coalesce(i.n, 0) < f.inner_steps AND NOT f.recount
		AND NOT EXISTS (SELECT FROM uncounted u WHERE u.flow_id = f.id))
	UNION ALL
	SELECT 5, c.task_id, format('a container whose flow %s %s', c.flow_id,
		CASE WHEN f.id IS NULL THEN 'does not exist'
		ELSE format('is that of %s', coalesce(f.parent_task::text,
			'none')) END)
	FROM muster.container c LEFT JOIN muster.flow f ON f.id = c.flow_id
	WHERE c.flow_id IS NOT NULL
		AND f.parent_task IS DISTINCT FROM c.task_id
	UNION ALL
	SELECT 6, e.task_id, format('an edge from %s to %s, one of which does '
		'not exist', e.need, e.task_id)
	FROM muster.edge e
	WHERE NOT EXISTS (SELECT FROM muster.task t WHERE t.id = e.task_id)
			AND NOT EXISTS (SELECT FROM muster.task t
				WHERE t.set_id = e.task_id)
		OR NOT EXISTS (SELECT FROM muster.task t WHERE t.id = e.need)
	UNION ALL
	SELECT 6, t.id, format('frees %s alone, and has an edge to %s, %L', t.sole,
		e.task_id, e.cond)
	FROM muster.task t JOIN muster.edge e ON e.need = t.id
	WHERE (t.sole > 0 OR (t.state = 's') IS NOT TRUE) -- an inner one keeps its mark
		AND (abs(t.sole) <> e.task_id OR t.sole IS NOT NULL AND e.cond = 'f')
	UNION ALL
	SELECT * FROM muster.check_schedules()
	UNION ALL
	SELECT 8, NULL, b.wrong FROM muster.check_borrowed() b;
END
$$;

-- Limits: no more is lent than there is, and only to workers that live. Where a
-- limit was lowered that of the time of the loan counts.
CREATE OR REPLACE FUNCTION muster.check_borrowed()
RETURNS TABLE (wrong text) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY
	SELECT format('limit %s %s: %s slots are lent, of %s', b.scope, b.name,
		sum(n.held), greatest(min(b.max_running), max(n.of_limit)))
	FROM muster.budget b
	JOIN muster.borrowed n ON n.budget_id = b.id
	GROUP BY b.scope, b.name
	HAVING sum(n.held) > greatest(min(b.max_running), max(n.of_limit))
	UNION ALL
	SELECT format('limit %s %s: lent to worker %s, which is dead or absent',
		b.scope, b.name, b.worker_id)
	FROM muster.budget b WHERE NOT EXISTS (SELECT FROM muster.worker w
		WHERE w.id = b.worker_id AND w.dead_at IS NULL)
	UNION ALL
	SELECT format('%s generations are lent under budget %s', count(*),
		n.budget_id)
	FROM muster.borrowed n GROUP BY n.budget_id
	HAVING count(*) > 1 OR NOT EXISTS (SELECT FROM muster.budget b
		WHERE b.id = n.budget_id)
	UNION ALL
	SELECT format('rate of %s %s: %s tokens are lent or left, of %s', b.scope,
		b.name, sum(n.tokens) + u.level, max(b.burst))
	FROM muster.budget b
	JOIN muster.borrowed n ON n.budget_id = b.id
	JOIN muster.bucket u ON u.scope = b.scope AND u.name = b.name
	WHERE b.rate IS NOT NULL
	GROUP BY b.scope, b.name, u.gen, u.level
	HAVING sum(n.tokens) + u.level > max(b.burst) + 0.000001;
END
$$;

-- Of schedules. That a tick has one run at most, the table's key sees to.
CREATE OR REPLACE FUNCTION muster.check_schedules()
RETURNS TABLE (invariant int, task_id bigint, detail text)
LANGUAGE sql STABLE AS $$
	SELECT 7, s.last_task, format('schedule %s: paused at %s, next at %s',
		s.name, s.paused_at, s.next_at)
	FROM muster.schedule s
	WHERE (s.paused_at IS NULL) <> (s.next_at IS NOT NULL)
	UNION ALL
	SELECT 7, s.last_task, format('schedule %s: the next tick, %s, is not '
		'after the last, %s', s.name, s.next_tick, s.last_tick)
	FROM muster.schedule s
	WHERE s.next_tick < s.last_tick OR s.next_at < s.next_tick
		OR s.next_tick = s.last_tick AND s.last_outcome <> 'x'
	UNION ALL
	SELECT 7, r.task_id, format('the run of %s at %s is %s, its task %s',
		r.schedule, r.tick, r.outcome, r.task_id)
	FROM muster.schedule_run r
	WHERE (r.outcome IN ('r', 'q')) <> (r.task_id IS NOT NULL)
$$;
