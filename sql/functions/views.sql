-- What people and programs look at. Where an open task stands is derived from
-- its place, never stored twice.

CREATE OR REPLACE VIEW muster.task_status AS
SELECT t.id, t.flow_id, t.name, r.kind, r.queue,
	CASE t.state WHEN 's' THEN 'succeeded' WHEN 'f' THEN 'failed'
		WHEN 'c' THEN 'cancelled' WHEN 'k' THEN 'skipped'
		ELSE CASE
		WHEN l.worker_id IS NOT NULL THEN 'running'
		WHEN s.run_at IS NOT NULL THEN 'scheduled'
		WHEN t.lock_id IS NOT NULL AND EXISTS (
			SELECT FROM muster.waiting w
			WHERE w.task_id = t.id) THEN 'waiting'
		WHEN EXISTS (SELECT FROM muster.blocked b
			WHERE b.task_id = t.id) THEN 'blocked'
		WHEN EXISTS (SELECT FROM muster.arriving a
			WHERE a.task_id = t.id) THEN 'arriving'
		WHEN EXISTS (SELECT FROM muster.remainder m
			WHERE m.task_id = t.id) THEN 'blocked'
		ELSE 'ready' END END AS state,
	-t.rank AS priority,
	t.attempts + (l.worker_id IS NOT NULL)::int AS attempt,
	t.max_attempts, s.run_at, t.created_at, t.finished_at, t.ran_ms,
	coalesce(l.worker_id, t.worker_id) AS worker_id,
	t.payload::jsonb AS payload, t.result, t.error, t.unique_key,
	t.lock_key
FROM muster.task t
LEFT JOIN LATERAL (SELECT x.queue, x.kind FROM muster.route x
	WHERE x.id = t.route_id LIMIT 1) r ON true
LEFT JOIN (SELECT x.worker_id, unnest(x.task_ids) AS task_id
	FROM muster.lease x) l ON l.task_id = t.id AND t.state IS NULL
LEFT JOIN LATERAL (SELECT x.run_at FROM muster.scheduled x
	WHERE t.state IS NULL AND x.task_id = t.id AND x.ticket = t.ticket
	LIMIT 1) s ON true;

CREATE OR REPLACE VIEW muster.flow_status AS
SELECT f.id, f.name, CASE WHEN f.state = 'running' AND f.stopped
		THEN 'cancelling' ELSE f.state END AS state,
	f.total + d.total AS total,
	f.total + d.total - f.succeeded - f.failed - f.cancelled - f.skipped
		- d.succeeded - d.failed - d.cancelled - d.skipped AS open,
	f.succeeded + d.succeeded AS succeeded, f.failed + d.failed AS failed,
	f.cancelled + d.cancelled AS cancelled,
	f.skipped + d.skipped AS skipped,
	f.created_at, f.finished_at, f.error
FROM muster.flow f
CROSS JOIN LATERAL (SELECT coalesce(sum(x.total), 0)::int AS total,
		coalesce(sum(x.succeeded), 0)::int AS succeeded,
		coalesce(sum(x.failed), 0)::int AS failed,
		coalesce(sum(x.cancelled), 0)::int AS cancelled,
		coalesce(sum(x.skipped), 0)::int AS skipped
	FROM muster.flow_delta x WHERE x.flow_id = f.id) d;

CREATE OR REPLACE VIEW muster.queue_stats AS
WITH place AS (
	SELECT r.route_id, 'ready' AS place, count(*) AS n, min(r.at) AS oldest
	FROM muster.ready r GROUP BY r.route_id
	UNION ALL
	SELECT s.route_id, 'scheduled', count(*), NULL
	FROM muster.scheduled s GROUP BY s.route_id
	UNION ALL
	SELECT b.route_id, 'blocked', count(*), NULL
	FROM muster.blocked b GROUP BY b.route_id
	UNION ALL
	SELECT w.route_id, 'waiting', count(*), NULL
	FROM muster.waiting w GROUP BY w.route_id
	UNION ALL
	SELECT t.route_id, 'arriving', count(*), NULL
	FROM muster.arriving a JOIN muster.task t ON t.id = a.task_id
	GROUP BY t.route_id
	UNION ALL
	SELECT t.route_id, 'running', count(*), NULL
	FROM (SELECT unnest(l.task_ids) AS id FROM muster.lease l) l
	JOIN muster.task t ON t.id = l.id GROUP BY t.route_id
)
SELECT r.queue, r.kind,
	coalesce(sum(p.n) FILTER (WHERE p.place = 'ready'), 0)::bigint AS ready,
	coalesce(sum(p.n) FILTER (WHERE p.place = 'running'), 0)::bigint
		AS running,
	coalesce(sum(p.n) FILTER (WHERE p.place = 'scheduled'), 0)::bigint
		AS scheduled,
	coalesce(sum(p.n) FILTER (WHERE p.place = 'blocked'), 0)::bigint
		AS blocked,
	coalesce(sum(p.n) FILTER (WHERE p.place = 'arriving'), 0)::bigint
		AS arriving,
	EXISTS (SELECT FROM muster.paused x WHERE x.queue = r.queue) AS paused,
	(extract(epoch FROM clock_timestamp() - min(p.oldest)) * 1000)::bigint
		AS oldest_ready_ms,
	coalesce(sum(p.n) FILTER (WHERE p.place = 'waiting'), 0)::bigint
		AS waiting
FROM (SELECT DISTINCT x.id, x.queue, x.kind FROM muster.route x) r
LEFT JOIN place p ON p.route_id = r.id
GROUP BY r.queue, r.kind;

CREATE OR REPLACE VIEW muster.worker_status AS
SELECT w.id, w.instance, w.host, w.pid, w.version, w.registered_at,
	w.last_beat_at, coalesce(l.n, 0)::int AS running, w.queues, w.kinds
FROM muster.worker w
LEFT JOIN (SELECT x.worker_id, sum(cardinality(x.task_ids)) AS n
	FROM muster.lease x GROUP BY x.worker_id) l ON l.worker_id = w.id
WHERE w.dead_at IS NULL;

CREATE OR REPLACE VIEW muster.attempts AS
SELECT a.task_id, a.attempt, a.at, a.ran_ms, a.worker_id,
	CASE a.outcome WHEN 'f' THEN 'failed' WHEN 'r' THEN 'retried'
		WHEN 'u' THEN 'put off' WHEN 'l' THEN 'lost'
		WHEN 'd' THEN 'failed' END AS outcome, a.error
FROM muster.attempt a;

-- What a task was told to wait for, one row a need, met or not.
CREATE OR REPLACE VIEW muster.task_needs AS
SELECT n.task_id, u.id AS needs_id,
	CASE u.cond WHEN 's' THEN 'succeeded' WHEN 'a' THEN 'finished'
		WHEN 'f' THEN 'failed' END AS needs_when
FROM muster.needs n
CROSS JOIN LATERAL unnest(n.ids, string_to_array(n.conds, NULL)) u(id, cond);
