-- What runs by the clock.
-- compatible_from: 1

-- Changed once a tick, by whoever holds its row, which others step over.
CREATE TABLE muster.schedule (
	name text PRIMARY KEY,
	next_at timestamptz, -- when it is to be fired; null: paused
	next_tick timestamptz NOT NULL, -- the same without jitter
	last_tick timestamptz, -- of its newest run, whatever became of it
	paused_at timestamptz,
	last_task bigint, -- the newest that was enqueued
	every_ms bigint, -- this or cron
	jitter_ms bigint NOT NULL,
	timeout_ms bigint,
	priority int NOT NULL,
	max_attempts int,
	behind int NOT NULL DEFAULT 0, -- missed ticks made up for in a row
	last_outcome "char",
	kind text NOT NULL,
	queue text NOT NULL,
	cron text,
	timezone text NOT NULL,
	missed text NOT NULL,
	overlap text NOT NULL,
	source text, -- the instance whose configuration has it; null: SQL
	payload jsonb NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX schedule_next ON muster.schedule (next_at)
	WHERE next_at IS NOT NULL;

-- One run a tick, whoever fires it. outcome: r(un) q(ueued behind the last one)
-- o: left out, the last one was still open, m(issed) x: could not be enqueued.
CREATE TABLE muster.schedule_run (
	at timestamptz NOT NULL,
	tick timestamptz NOT NULL,
	missed_since timestamptz, -- the first of the ticks it stands for, too
	task_id bigint,
	outcome "char" NOT NULL,
	schedule text NOT NULL,
	error text,
	PRIMARY KEY (schedule, tick)
);
CREATE INDEX schedule_run_at ON muster.schedule_run (at);

ALTER TABLE muster.schedule SET (vacuum_truncate = off,
	autovacuum_vacuum_scale_factor = 0,
	autovacuum_vacuum_threshold = 2000,
	autovacuum_analyze_scale_factor = 0,
	autovacuum_analyze_threshold = 20000);
