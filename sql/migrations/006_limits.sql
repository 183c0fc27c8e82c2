-- Limits across hosts, pausing of kinds, learned lengths.
-- compatible_from: 1

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

DO $do$
DECLARE
	v_table text;
BEGIN
	FOREACH v_table IN ARRAY ARRAY['borrowed', 'bucket', 'kind_ran'] LOOP
		EXECUTE format('ALTER TABLE muster.%I SET ('
			'vacuum_truncate = off,'
			'autovacuum_vacuum_scale_factor = 0,'
			'autovacuum_vacuum_threshold = 2000,'
			'autovacuum_analyze_scale_factor = 0,'
			'autovacuum_analyze_threshold = 20000)', v_table);
	END LOOP;
END
$do$;
