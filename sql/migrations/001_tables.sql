-- The tables of version 1. Which of them stands for what, and the order in
-- which they are locked, is told in README.md.
-- compatible_from: 1

CREATE SEQUENCE muster.task_id;
CREATE SEQUENCE muster.flow_id;
CREATE SEQUENCE muster.lease_id;
CREATE SEQUENCE muster.request_id;
CREATE SEQUENCE muster.remainder_id;
CREATE SEQUENCE muster.flow_delta_id CACHE 1;
-- The order of the line. CACHE 1: floors and the safe mark rely on last_value.
CREATE SEQUENCE muster.ready_seq CACHE 1;

CREATE TABLE muster.setting (
	name text PRIMARY KEY,
	value text NOT NULL
);
INSERT INTO muster.setting VALUES ('max_payload', '1048576');

-- A (queue, kind). The number is a hash, so two transactions that don't see
-- each other give it the same one; there is no unique index on which one of
-- them would wait for the other. fold() removes doubles.
CREATE TABLE muster.route (
	id int NOT NULL,
	queue text NOT NULL,
	kind text NOT NULL
);
CREATE INDEX route_name ON muster.route (queue, kind);
CREATE INDEX route_number ON muster.route (id);

-- Which lines exist. Doubles are harmless and removed by fold(); rows never
-- vanish otherwise: a task may be on its way into its line.
CREATE TABLE muster.lanes (
	route_id int NOT NULL,
	rank smallint NOT NULL,
	lane smallint NOT NULL
);
CREATE INDEX lanes_line ON muster.lanes (route_id, rank, lane);

CREATE TABLE muster.paused (
	queue text PRIMARY KEY,
	since timestamptz NOT NULL DEFAULT now()
);

-- The facts of a task and its final state. No index on what a finish changes,
-- and room in the page: nearly all updates are HOT.
CREATE TABLE muster.task (
	id bigint PRIMARY KEY,
	flow_id bigint,
	worker_id bigint, -- of the last attempt
	created_at timestamptz NOT NULL,
	finished_at timestamptz,
	timeout_ms bigint,
	route_id int NOT NULL,
	size int NOT NULL, -- bytes of the payload
	ran_ms int,
	attempts int NOT NULL DEFAULT 0, -- ended and charged
	snoozes int NOT NULL DEFAULT 0, -- ended and not charged
	max_attempts int,
	rescues smallint NOT NULL DEFAULT 0,
	rank smallint NOT NULL, -- minus the priority
	lane smallint NOT NULL,
	ticket smallint NOT NULL DEFAULT 0,
	life smallint NOT NULL DEFAULT 0, -- how often it was brought back
	state "char", -- null: open; s(ucceeded) f(ailed) c(ancelled) k: skipped
	settled "char", -- what its dependents were told in an earlier life
	has_needs boolean NOT NULL DEFAULT false,
	has_dependents boolean NOT NULL DEFAULT false,
	fail_fast boolean NOT NULL DEFAULT false, -- its failure stops its flow
	name text, -- of the step of its flow
	error text,
	result jsonb,
	payload text NOT NULL -- valid JSON: the text of a jsonb
) WITH (fillfactor = 45);
CREATE INDEX task_flow ON muster.task (flow_id, id) WHERE flow_id IS NOT NULL;

-- Places: an open task stands in exactly one.

CREATE TABLE muster.arriving (
	task_id bigint PRIMARY KEY,
	run_at timestamptz,
	wakes boolean NOT NULL
);

CREATE TABLE muster.blocked (
	task_id bigint PRIMARY KEY,
	run_at timestamptz,
	need int NOT NULL,
	spare int NOT NULL,
	route_id int NOT NULL,
	size int NOT NULL,
	rank smallint NOT NULL,
	lane smallint NOT NULL,
	ticket smallint NOT NULL
) WITH (fillfactor = 80);

CREATE TABLE muster.scheduled (
	run_at timestamptz NOT NULL,
	task_id bigint NOT NULL,
	route_id int NOT NULL,
	size int NOT NULL,
	rank smallint NOT NULL,
	lane smallint NOT NULL,
	ticket smallint NOT NULL,
	wakes boolean NOT NULL DEFAULT false,
	PRIMARY KEY (run_at, task_id)
);
CREATE INDEX scheduled_task ON muster.scheduled (task_id);

CREATE TABLE muster.ready (
	seq bigint NOT NULL,
	task_id bigint NOT NULL,
	at timestamptz NOT NULL,
	route_id int NOT NULL,
	size int NOT NULL,
	rank smallint NOT NULL,
	lane smallint NOT NULL,
	ticket smallint NOT NULL,
	wakes boolean NOT NULL DEFAULT false,
	PRIMARY KEY (route_id, rank, lane, seq)
);

CREATE TABLE muster.lease (
	id bigint PRIMARY KEY,
	worker_id bigint NOT NULL,
	taken_at timestamptz NOT NULL,
	task_ids bigint[] NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX lease_worker ON muster.lease (worker_id);

-- What waits for what: an edge a need, immutable, none added to a settled one.
-- cond: s(ucceeded) a(ny end) f(ailed). life is that of the need when it was
-- added.
CREATE TABLE muster.edge (
	need bigint NOT NULL,
	task_id bigint NOT NULL,
	life smallint NOT NULL DEFAULT 0,
	cond "char" NOT NULL,
	PRIMARY KEY (need, task_id)
);

-- All that a task ever depended on, settled before its admission or not.
CREATE TABLE muster.needs (
	task_id bigint PRIMARY KEY,
	ids bigint[] NOT NULL,
	conds text NOT NULL -- a cond a need
);

-- Settling that is still to be done: edges of task_id beyond cursor. An open
-- task with a remainder is about to get `outcome`: this is its place.
CREATE TABLE muster.remainder (
	id bigint PRIMARY KEY DEFAULT nextval('muster.remainder_id'),
	task_id bigint NOT NULL,
	flow_id bigint,
	cursor bigint NOT NULL DEFAULT 0,
	outcome "char" NOT NULL,
	was "char" -- what was settled in an earlier life
);
CREATE INDEX remainder_task ON muster.remainder (task_id);
CREATE INDEX remainder_flow ON muster.remainder (flow_id)
	WHERE flow_id IS NOT NULL;

CREATE TABLE muster.flow (
	id bigint PRIMARY KEY,
	created_at timestamptz NOT NULL,
	finished_at timestamptz,
	total int NOT NULL,
	succeeded int NOT NULL DEFAULT 0,
	failed int NOT NULL DEFAULT 0,
	cancelled int NOT NULL DEFAULT 0,
	skipped int NOT NULL DEFAULT 0,
	stopped boolean NOT NULL DEFAULT false, -- cancelled, or by a failure
	purging boolean NOT NULL DEFAULT false, -- some of its tasks are gone
	fail_fast boolean NOT NULL,
	state text NOT NULL DEFAULT 'running',
	name text,
	error text
) WITH (fillfactor = 80);
CREATE INDEX flow_ending ON muster.flow (id) WHERE finished_at IS NULL
	AND total = succeeded + failed + cancelled + skipped;

-- What was not yet added to flow. Append-only: no hot row.
CREATE TABLE muster.flow_delta (
	id bigint PRIMARY KEY DEFAULT nextval('muster.flow_delta_id'),
	flow_id bigint NOT NULL,
	total int NOT NULL DEFAULT 0,
	succeeded int NOT NULL DEFAULT 0,
	failed int NOT NULL DEFAULT 0,
	cancelled int NOT NULL DEFAULT 0,
	skipped int NOT NULL DEFAULT 0
);
CREATE INDEX flow_delta_flow ON muster.flow_delta (flow_id);

-- Attempts that did not succeed. outcome: f(ailed) r(etried) u: retried and
-- not charged, l(ost with its worker) d(ead: lost once too often).
CREATE TABLE muster.attempt (
	task_id bigint NOT NULL,
	at timestamptz NOT NULL,
	worker_id bigint,
	attempt int NOT NULL,
	ran_ms int,
	outcome "char" NOT NULL,
	error text
);
CREATE INDEX attempt_task ON muster.attempt (task_id);

-- What purge() looks at, a row a batch of finishes or a finished flow.
CREATE TABLE muster.finished (
	at timestamptz NOT NULL,
	flow_id bigint,
	ids bigint[]
) WITH (toast_tuple_target = 8160); -- compressing costs more than it saves
CREATE INDEX finished_at ON muster.finished (at);

CREATE TABLE muster.request (
	id bigint PRIMARY KEY DEFAULT nextval('muster.request_id'),
	at timestamptz NOT NULL DEFAULT clock_timestamp(),
	verb text NOT NULL,
	target bigint,
	queue text,
	cursor bigint NOT NULL DEFAULT 0,
	count int NOT NULL DEFAULT 0,
	asked_by text NOT NULL DEFAULT session_user,
	done_at timestamptz,
	answer text,
	verdict text, -- done or refused; null while it waits
	wakes boolean NOT NULL DEFAULT false
);
CREATE INDEX request_open ON muster.request (id) WHERE done_at IS NULL;
CREATE INDEX request_done ON muster.request (done_at)
	WHERE done_at IS NOT NULL;

CREATE TABLE muster.worker (
	id bigint PRIMARY KEY,
	registered_at timestamptz NOT NULL DEFAULT now(),
	last_beat_at timestamptz NOT NULL DEFAULT now(),
	dead_at timestamptz,
	beats bigint NOT NULL DEFAULT 0,
	pid int NOT NULL,
	backend_pid int NOT NULL,
	locked boolean NOT NULL DEFAULT false, -- its session locks its id
	instance text NOT NULL,
	host text NOT NULL,
	version text NOT NULL,
	queues text[] NOT NULL,
	kinds text[] NOT NULL
) WITH (fillfactor = 45);

-- Running tasks that their worker has yet to cancel.
CREATE TABLE muster.cancelling (
	worker_id bigint NOT NULL,
	task_id bigint NOT NULL,
	PRIMARY KEY (worker_id, task_id)
);

-- A worker under its id, a scheduler under a negative one.
CREATE TABLE muster.sleepers (
	id bigint PRIMARY KEY,
	listed_at timestamptz NOT NULL DEFAULT now(),
	instance text NOT NULL,
	queues text[] NOT NULL
);

-- The safe mark (mark.sql). Generations, newest first: a row that is replaced
-- would leave dead versions to walk over.
CREATE TABLE muster.probe (
	id bigint GENERATED ALWAYS AS IDENTITY,
	seq bigint NOT NULL,
	delta bigint NOT NULL,
	rest bigint NOT NULL,
	at timestamptz NOT NULL,
	horizon xid8 NOT NULL
);
CREATE INDEX probe_newest ON muster.probe (id DESC);

CREATE TABLE muster.lane_mark (
	route_id int NOT NULL,
	rank smallint NOT NULL,
	lane smallint NOT NULL,
	mark bigint NOT NULL
);
CREATE INDEX lane_mark_newest
	ON muster.lane_mark (route_id, rank, lane, mark DESC);

CREATE TABLE muster.scheduled_mark (
	mark timestamptz NOT NULL
);
CREATE INDEX scheduled_mark_newest ON muster.scheduled_mark (mark DESC);

-- What a sql handler is given beside payload and inputs.
CREATE TYPE muster.task_context AS (
	id bigint,
	flow_id bigint,
	kind text,
	queue text,
	name text,
	attempt int,
	token text
);

-- Places empty and fill all the time: vacuum by count, never truncate (its
-- lock would stop every turn).
DO $do$
DECLARE
	v_table text;
BEGIN
	FOREACH v_table IN ARRAY ARRAY['arriving', 'blocked', 'scheduled',
			'ready', 'lease', 'remainder', 'flow_delta', 'finished',
			'cancelling', 'sleepers', 'probe', 'lane_mark',
			'scheduled_mark', 'worker'] LOOP
		EXECUTE format('ALTER TABLE muster.%I SET ('
			'vacuum_truncate = off,'
			'autovacuum_vacuum_scale_factor = 0,'
			'autovacuum_vacuum_threshold = 2000,'
			'autovacuum_analyze_scale_factor = 0,'
			'autovacuum_analyze_threshold = 20000)', v_table);
	END LOOP;
END
$do$;
