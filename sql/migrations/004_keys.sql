-- Unique keys and concurrency keys.
-- compatible_from: 1

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

DO $do$
DECLARE
	v_table text;
BEGIN
	FOREACH v_table IN ARRAY ARRAY['unique_key', 'lock_key', 'lock_held',
			'lock_floor', 'lock_closed', 'lock_freed', 'waiting'] LOOP
		EXECUTE format('ALTER TABLE muster.%I SET ('
			'vacuum_truncate = off,'
			'autovacuum_vacuum_scale_factor = 0,'
			'autovacuum_vacuum_threshold = 2000,'
			'autovacuum_analyze_scale_factor = 0,'
			'autovacuum_analyze_threshold = 20000)', v_table);
	END LOOP;
END
$do$;

-- Functions with other parameters now.
DROP FUNCTION IF EXISTS muster.enqueue(text, jsonb, text, int, timestamptz,
	bigint[], text, bigint, int, interval, boolean);
DROP FUNCTION IF EXISTS muster.enqueue_many(text, jsonb[], text, int,
	timestamptz, int, interval, boolean);
DROP FUNCTION IF EXISTS muster.settle_final(bigint[], boolean);
DROP FUNCTION IF EXISTS muster.flow_place(bigint[], int[], int[], smallint[],
	timestamptz[], int[], int[]);
DROP FUNCTION IF EXISTS muster.do_pause(muster.request);
