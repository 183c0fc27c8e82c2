-- What tasks can wait for beside the first version's places: needs of which some
-- suffice, maps and nested flows, unique and concurrency keys, schedules, limits
-- across hosts, requests for many tasks at once.
-- compatible_from: 1

-- Flows: how many needs a task wants met, arrivals that hold their flow open,
-- retry of a whole flow.

-- So many of the needs must be met; null: all of them.
ALTER TABLE muster.needs ADD COLUMN least int;

-- A flow does not end before what arrives for it is admitted.
ALTER TABLE muster.arriving ADD COLUMN flow_id bigint;
CREATE INDEX arriving_flow ON muster.arriving (flow_id)
	WHERE flow_id IS NOT NULL;

-- retry_flow: whether what was cancelled runs again too.
ALTER TABLE muster.request ADD COLUMN cancelled_too boolean;

DROP FUNCTION IF EXISTS muster.enqueue(text, jsonb, text, int, timestamptz,
	bigint[], text, bigint, int, interval, boolean);
DROP FUNCTION IF EXISTS muster.flow_place(bigint[], int[], int[], smallint[],
	timestamptz[], int[], int[]);
DROP FUNCTION IF EXISTS muster.place_needs(bigint[], bigint);
DROP FUNCTION IF EXISTS muster.place(bigint[], timestamptz[], bigint);
DROP FUNCTION IF EXISTS muster.reopen(bigint[], bigint);
DROP FUNCTION IF EXISTS muster.revive(bigint[], bigint);
DROP FUNCTION IF EXISTS muster.retry_later(bigint, bigint, "char");
DROP FUNCTION IF EXISTS muster.unblock_free(bigint[]);

-- Containers: maps and nested flows, tasks that stand for a flow of their own.

ALTER TABLE muster.flow ADD COLUMN parent_task bigint; -- its container

-- What a container is, from submit to purge.
CREATE TABLE muster.container_plan (
	task_id bigint PRIMARY KEY,
	flow_id bigint, -- its tasks; null until it is first opened
	from_task bigint, -- a map: the need whose result is the list
	items int, -- … how many there are; null: not known yet
	paged int NOT NULL DEFAULT 0, -- … so many of them went to map_page
	chunk int, -- … items a task; null: one, and not as a list
	max_running int, -- … so many tasks of it are open at a time
	route_id int, -- … of its tasks
	fail_fast boolean NOT NULL DEFAULT false,
	total int, -- tasks that it will have
	created int NOT NULL DEFAULT 0, -- … has
	counted int NOT NULL DEFAULT 0, -- … of which its flow knows
	spec jsonb -- a nested flow
) WITH (fillfactor = 50);

-- The place of a container whose flow runs, or is about to.
CREATE TABLE muster.container (
	task_id bigint PRIMARY KEY,
	flow_id bigint, -- null: to be opened
	cancelled text -- why it is to end
);

-- Containers of which there is something to create, in order.
CREATE SEQUENCE muster.expansion_id;
CREATE TABLE muster.expansion (
	id bigint PRIMARY KEY DEFAULT nextval('muster.expansion_id'),
	task_id bigint NOT NULL
);

-- The next items of a map, 200 of them a row; gone when they are tasks.
CREATE TABLE muster.map_page (
	task_id bigint NOT NULL,
	page int NOT NULL,
	items jsonb[] NOT NULL,
	PRIMARY KEY (task_id, page)
);

-- Unique keys and concurrency keys.

-- A task's own keys; a retry needs them when their rows are long gone.
ALTER TABLE muster.task
	ADD COLUMN lock_id bigint, -- lock_number(lock_key); null: none
	ADD COLUMN lock_limit int,
	ADD COLUMN lock_key text,
	ADD COLUMN unique_key text;

-- Unique keys: a row a key that is taken. Over open tasks (until is null) it
-- goes when the task ends, by whoever ends it; no client ever locks it. Over a
-- period it stands until then, and goes by the next enqueue or by purge(). No
-- row is updated: whoever waited for one that went holds nothing afterwards.
CREATE TABLE muster.unique_key (
	key text PRIMARY KEY,
	task_id bigint NOT NULL,
	until timestamptz
);
CREATE INDEX unique_key_task ON muster.unique_key (task_id);
CREATE INDEX unique_key_until ON muster.unique_key (until)
	WHERE until IS NOT NULL;

-- replaces: the unique key that carry_out() has yet to hand over to it; asks:
-- it waits for nothing more but a slot of its concurrency key.
ALTER TABLE muster.arriving
	ADD COLUMN replaces text,
	ADD COLUMN until timestamptz,
	ADD COLUMN asks boolean NOT NULL DEFAULT false;

ALTER TABLE muster.blocked ADD COLUMN lock_id bigint;
ALTER TABLE muster.scheduled ADD COLUMN lock_id bigint;
ALTER TABLE muster.ready ADD COLUMN lock_id bigint;

CREATE SEQUENCE muster.waiting_seq CACHE 1;
CREATE SEQUENCE muster.lock_gen;
CREATE SEQUENCE muster.lock_freed_id;

-- Concurrency keys. A row is the mutex of its key, locked for update, in order
-- of id; only admission makes it and waits for it.
CREATE TABLE muster.lock_key (
	id bigint PRIMARY KEY,
	told_by bigint NOT NULL, -- the newest task that named a limit
	slots int NOT NULL,
	most int NOT NULL, -- that slots ever was
	name text NOT NULL
);

-- How many slots are held. Generations, newest first, written under the mutex
-- and only when the number changes: not by a hand-over.
CREATE TABLE muster.lock_held (
	lock_id bigint NOT NULL,
	gen bigint NOT NULL,
	at timestamptz NOT NULL,
	held int NOT NULL
);
CREATE INDEX lock_held_newest ON muster.lock_held (lock_id, gen DESC);
CREATE INDEX lock_held_idle ON muster.lock_held (at) WHERE held = 0;

-- Before (line, seq) nobody waits: where to enter a line whose head is full of
-- dead rows. Of keys from which much was taken; generations, as above.
CREATE TABLE muster.lock_floor (
	lock_id bigint NOT NULL,
	gen bigint NOT NULL,
	line int NOT NULL,
	seq bigint NOT NULL
);
CREATE INDEX lock_floor_newest ON muster.lock_floor (lock_id, gen DESC);

-- Keys of which more slots are held than there are, since the limit was lowered:
-- who ends a task gives its slot back.
CREATE TABLE muster.lock_closed (
	lock_id bigint PRIMARY KEY
);

-- Slots that were given back while the mutex was taken, or (n = 0) a key that
-- has to be looked at again.
CREATE TABLE muster.lock_freed (
	id bigint PRIMARY KEY DEFAULT nextval('muster.lock_freed_id'),
	lock_id bigint NOT NULL,
	n int NOT NULL
);
CREATE INDEX lock_freed_lock ON muster.lock_freed (lock_id);

-- A place: waits for a slot. line: rank and lane in one, rank * 16 + lane. seq
-- is drawn under the mutex; who comes in below the floor moves it.
CREATE TABLE muster.waiting (
	lock_id bigint NOT NULL,
	seq bigint NOT NULL,
	task_id bigint NOT NULL,
	line int NOT NULL,
	route_id int NOT NULL,
	size int NOT NULL,
	ticket smallint NOT NULL,
	PRIMARY KEY (lock_id, line, seq)
);
CREATE INDEX waiting_task ON muster.waiting (task_id);

DROP FUNCTION IF EXISTS muster.settle_final(bigint[], boolean);
DROP FUNCTION IF EXISTS muster.do_pause(muster.request);

-- What runs by the clock.

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

-- Limits across hosts, pausing of kinds, learned lengths.

-- A queue or a kind is paused: one of the two is null.
ALTER TABLE muster.paused DROP CONSTRAINT paused_pkey,
	ALTER COLUMN queue DROP NOT NULL,
	ADD COLUMN kind text,
	ADD CHECK ((queue IS NULL) <> (kind IS NULL));
CREATE UNIQUE INDEX paused_queue ON muster.paused (queue);
CREATE UNIQUE INDEX paused_kind ON muster.paused (kind);
ALTER TABLE muster.request ADD COLUMN kind text;

-- The limits that a worker goes by. scope: q(ueue) or k(ind).
CREATE TABLE muster.budget (
	id bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
	worker_id bigint NOT NULL,
	max_running int,
	rate float8, -- a second
	burst int, -- null without a rate
	scope "char" NOT NULL,
	name text NOT NULL,
	PRIMARY KEY (scope, name, worker_id)
);
CREATE INDEX budget_worker ON muster.budget (worker_id);

-- What it has borrowed of them. Generations, newest first, as in probe.
CREATE TABLE muster.borrowed (
	budget_id bigint NOT NULL,
	gen bigint NOT NULL,
	at timestamptz NOT NULL, -- its worker asked last
	since timestamptz NOT NULL, -- it has, or wants, more than its part
	held int NOT NULL, -- slots
	wants int NOT NULL, -- slots that it could use, these included
	of_limit int NOT NULL, -- the limit when they were lent
	tokens int NOT NULL, -- starts
	hungry boolean NOT NULL, -- it could use more tokens
	PRIMARY KEY (budget_id, gen)
);

-- What a rate has left, at a moment; no row: all of burst. Generations.
CREATE TABLE muster.bucket (
	gen bigint NOT NULL,
	at timestamptz NOT NULL,
	level float8 NOT NULL,
	scope "char" NOT NULL,
	name text NOT NULL,
	PRIMARY KEY (scope, name, gen)
);

-- How long tasks of a kind take, and what was not yet added to it.
CREATE TABLE muster.kind_length (
	kind text PRIMARY KEY,
	ms float8 NOT NULL,
	weight float8 NOT NULL -- tasks that this average counts for
);
CREATE TABLE muster.kind_ran (
	count int NOT NULL,
	total_ms bigint NOT NULL,
	kind text NOT NULL
);

-- Requests for many tasks at once, and functions whose parameters or rows
-- changed.

-- Of a bulk request: how many tasks, in which states they have to be met (null:
-- any), what became of those that were met so far.
ALTER TABLE muster.request ADD COLUMN total int;
ALTER TABLE muster.request ADD COLUMN states text[];
ALTER TABLE muster.request ADD COLUMN tally jsonb NOT NULL DEFAULT '{}';

-- The tasks of a bulk request that were not met yet, a row a batch; ranks: what
-- reprioritise gives them. Gone when done.
CREATE TABLE muster.request_part (
	request_id bigint NOT NULL,
	part int NOT NULL,
	ids bigint[] NOT NULL,
	ranks smallint[],
	PRIMARY KEY (request_id, part)
);

DROP FUNCTION IF EXISTS muster.enqueue_many(text, jsonb[], text, int,
	timestamptz, int, interval, boolean);
DROP FUNCTION IF EXISTS muster.why(bigint);
DROP FUNCTION IF EXISTS muster.why_one(bigint);
DROP FUNCTION IF EXISTS muster.why_running(bigint, bigint);
DROP FUNCTION IF EXISTS muster.why_ready(text, text, int, smallint, bigint);

-- As in the first version: vacuum by count, never truncate.
DO $do$
DECLARE
	v_table text;
BEGIN
	FOREACH v_table IN ARRAY ARRAY['container', 'container_plan', 'expansion',
			'map_page', 'unique_key', 'lock_key', 'lock_held',
			'lock_floor', 'lock_closed', 'lock_freed',
			'waiting', 'borrowed', 'bucket', 'kind_ran',
			'schedule', 'request_part'] LOOP
		EXECUTE format('ALTER TABLE muster.%I SET ('
			'vacuum_truncate = off,'
			'autovacuum_vacuum_scale_factor = 0,'
			'autovacuum_vacuum_threshold = 2000,'
			'autovacuum_analyze_scale_factor = 0,'
			'autovacuum_analyze_threshold = 20000)', v_table);
	END LOOP;
END
$do$;
