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
		WHEN t.set_id IS NOT NULL AND EXISTS (
			SELECT FROM muster.blocked b WHERE b.task_id = t.set_id
			AND b.ticket = t.ticket) THEN 'blocked'
		WHEN EXISTS (SELECT FROM muster.arriving a
			WHERE a.task_id = t.id) THEN 'arriving'
		WHEN EXISTS (SELECT FROM muster.remainder m
			WHERE m.task_id = t.id) THEN 'blocked'
		WHEN EXISTS (SELECT FROM muster.container c
			WHERE c.task_id = t.id) THEN 'running'
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

-- What was not yet added to flow.
CREATE OR REPLACE VIEW muster.flow_uncounted AS
SELECT d.flow_id, d.total, d.succeeded, d.failed, d.cancelled, d.skipped
FROM muster.flow_delta d
UNION ALL
SELECT u.flow_id, 0, (u.state = 's')::int, (u.state = 'f')::int,
	(u.state = 'c')::int, (u.state = 'k')::int
FROM muster.flow_ends e
CROSS JOIN LATERAL (SELECT x.flow_id, coalesce(x.state, 's') AS state
	FROM unnest(e.flows, e.states) x(flow_id, state)) u
WHERE e.id >= coalesce((SELECT max(m.mark)
	FROM muster.lane_mark m
	WHERE m.route_id = 0 AND m.rank = 0 AND m.lane = 7), 0);

CREATE OR REPLACE VIEW muster.flow_status AS
SELECT f.id, f.name, CASE WHEN f.state = 'running' AND f.stopped
		THEN 'cancelling' ELSE f.state END AS state,
	f.total + coalesce(d.total, 0) AS total,
	f.total - f.succeeded - f.failed - f.cancelled - f.skipped
		+ coalesce(d.open, 0) - i.untold AS open,
	f.succeeded + coalesce(d.succeeded, 0) + i.untold AS succeeded,
	f.failed + coalesce(d.failed, 0) AS failed,
	f.cancelled + coalesce(d.cancelled, 0) AS cancelled,
	f.skipped + coalesce(d.skipped, 0) AS skipped,
	f.created_at, f.finished_at, f.error
FROM muster.flow f
LEFT JOIN (SELECT x.flow_id, sum(x.total)::int AS total,
		sum(x.total - x.succeeded - x.failed - x.cancelled
			- x.skipped)::int AS open,
		sum(x.succeeded)::int AS succeeded,
		sum(x.failed)::int AS failed,
		sum(x.cancelled)::int AS cancelled,
		sum(x.skipped)::int AS skipped
	FROM muster.flow_uncounted x GROUP BY x.flow_id) d ON d.flow_id = f.id
CROSS JOIN LATERAL (SELECT CASE
	WHEN f.finished_at IS NOT NULL AND d.flow_id IS NULL
	THEN f.total - f.succeeded - f.failed - f.cancelled - f.skipped
	WHEN f.inner_steps > 0
	THEN (SELECT count(*)::int FROM muster.task t -- as inner_succeeded()
		WHERE t.flow_id = f.id AND t.id <= f.inner_to
			AND t.sole < 0 AND t.state = 's')
	ELSE 0 END AS untold OFFSET 0) i;

-- A cancelled member of a set is blocked here until the set moves: to leave it out
-- takes a look at every task that is blocked.
CREATE OR REPLACE VIEW muster.queue_stats AS
WITH place AS (
	SELECT r.route_id, 'ready' AS place, sum(r.n) AS n, min(r.at) AS oldest
	FROM muster.ready r GROUP BY r.route_id
	UNION ALL
	SELECT s.route_id, 'scheduled', count(*), NULL
	FROM muster.scheduled s GROUP BY s.route_id
	UNION ALL
	SELECT b.route_id, 'blocked', sum(b.n), NULL
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
	UNION ALL
	SELECT t.route_id, 'running', count(*), NULL
	FROM muster.container c JOIN muster.task t ON t.id = c.task_id
	GROUP BY t.route_id
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
	EXISTS (SELECT FROM muster.paused x
		WHERE x.queue = r.queue OR x.kind = r.kind) AS paused,
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
		WHEN 'f' THEN 'failed' END AS needs_when,
	CASE n.least WHEN 1 THEN 'any' ELSE coalesce('at_least ' || n.least,
		'all') END AS needs_mode
FROM muster.needs n
CROSS JOIN LATERAL unnest(n.ids, string_to_array(n.conds, NULL)) u(id, cond);

-- What runs by the clock, with its next and its last run; next_at is the tick
-- with its jitter, null while paused.
CREATE OR REPLACE VIEW muster.schedules AS
SELECT s.name, s.kind, s.queue, s.cron,
	s.every_ms * interval '1 ms' AS every, s.timezone, s.missed, s.overlap,
	s.jitter_ms * interval '1 ms' AS jitter, s.priority, s.max_attempts,
	s.timeout_ms * interval '1 ms' AS timeout, s.payload,
	CASE WHEN s.source IS NULL THEN 'sql' ELSE 'configuration' END AS source,
	s.paused_at, s.next_at, s.last_tick,
	muster.run_outcome(s.last_outcome) AS last_outcome, s.last_task,
	(SELECT CASE WHEN t.state IS NULL THEN 'open'
			ELSE muster.state_name(t.state) END
		FROM muster.task t WHERE t.id = s.last_task) AS last_state
FROM muster.schedule s;

-- The runs of the last week, one a tick.
CREATE OR REPLACE VIEW muster.schedule_runs AS
SELECT r.schedule, r.tick, r.task_id, muster.run_outcome(r.outcome) AS outcome,
	r.at, r.missed_since, r.error
FROM muster.schedule_run r;

-- What is paused: a queue or a kind a row.
CREATE OR REPLACE VIEW muster.pauses AS
SELECT p.queue, p.kind, p.since FROM muster.paused p;

-- Limits across hosts, as the workers that live go by them, and their use.
-- `use` says it in words. Idle slots are given back within a second.
CREATE OR REPLACE VIEW muster.limit_status AS
SELECT l.*, concat_ws(', ', l.held || '/' || l.max_running, l.rate) AS use
FROM (SELECT CASE b.scope WHEN 'q' THEN 'queue' ELSE 'kind' END AS scope,
		b.name, min(b.max_running) AS max_running,
		CASE WHEN min(b.max_running) IS NOT NULL
			THEN coalesce(sum(n.held), 0)::int END AS held,
		muster.rate_text(min(b.rate)) AS rate, min(b.burst) AS burst,
		CASE WHEN min(b.rate) IS NOT NULL
			THEN muster.rate_next(b.scope, b.name) END AS next_at,
		count(*) FILTER (WHERE n.held < n.wants OR n.hungry)::int
			AS waiting,
		count(*)::int AS workers
	FROM muster.budget b
	LEFT JOIN LATERAL (SELECT x.held, x.wants, x.hungry
		FROM muster.borrowed x
		WHERE x.budget_id = b.id ORDER BY x.gen DESC LIMIT 1) n ON true
	GROUP BY b.scope, b.name) l;

-- Maps and nested flows that have been opened: their flow and how far it is.
CREATE OR REPLACE VIEW muster.containers AS
SELECT p.task_id, t.flow_id AS inside, t.name,
	CASE WHEN p.spec IS NULL THEN 'map' ELSE 'flow' END AS kind,
	p.flow_id, f.total, f.succeeded, f.failed, f.cancelled, f.skipped,
	f.open, p.max_running
FROM muster.container_plan p
JOIN muster.task t ON t.id = p.task_id
CROSS JOIN LATERAL (SELECT x.* FROM muster.flow_status x
	WHERE x.id = p.flow_id OFFSET 0) f;

-- The tasks of maps in the order of their lists; index is that of the first
-- item that a task has, from 0.
CREATE OR REPLACE VIEW muster.map_items AS
SELECT p.task_id AS map_id, substring(t.name FROM '\d+')::int AS index,
	t.id AS task_id, t.state, t.result, t.error
FROM muster.container_plan p
JOIN muster.task_status t ON t.flow_id = p.flow_id
WHERE p.spec IS NULL AND t.name IS NOT NULL;
