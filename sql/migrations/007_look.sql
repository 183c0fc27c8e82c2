-- A scheduler looks which of its chores have something to do; what it tidies up has a
-- time of its own. Retention: what was looked at and stays has a list of its own, in
-- which a row says when it is to be looked at again, whoever does that. A claim tells
-- how long a step is expected to take, and a chain with the first of it: what follows
-- without what it shares with that.
-- compatible_from: 7

CREATE TABLE muster.kept (
	at timestamptz NOT NULL,
	flow_id bigint,
	ids bigint[],
	cursor bigint[], -- a flow: after which task, in it and the flows inside
	remains boolean NOT NULL DEFAULT false -- … some before that are not gone
) WITH (vacuum_truncate = off,
	autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
	autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000);
CREATE INDEX kept_at ON muster.kept (at);

-- The safe marks of finished and kept (mark.sql). Generations, newest first.
CREATE TABLE muster.time_mark (
	list text NOT NULL,
	mark timestamptz NOT NULL
) WITH (vacuum_truncate = off,
	autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
	autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000);
CREATE INDEX time_mark_newest ON muster.time_mark (list, mark DESC);

ALTER TABLE muster.task ADD COLUMN expect_ms real;

DROP FUNCTION IF EXISTS muster.turn(bigint, bigint[], bigint[], text, int[], bigint[],
	text[], text[], int[], int[], int, bigint, int[], int[], int[], bigint[], int[]);
DROP FUNCTION IF EXISTS muster.purge(int, text[], bigint[]);
DROP FUNCTION IF EXISTS muster.purge_due(bigint[], text[], bigint[]);
DROP FUNCTION IF EXISTS muster.purge_plain(bigint[], text[], bigint[], interval);
DROP FUNCTION IF EXISTS muster.purge_flow(bigint, int, text[], bigint[], interval);
DROP FUNCTION IF EXISTS muster.purge_holding(bigint[], int);
DROP FUNCTION IF EXISTS muster.purge_tasks(bigint[]);
DROP FUNCTION IF EXISTS muster.purge_history();
DROP FUNCTION IF EXISTS muster.purge_runs();
DROP FUNCTION IF EXISTS muster.purge_unique(int);
DROP FUNCTION IF EXISTS muster.purge_locks(int);
DROP FUNCTION IF EXISTS muster.fold_doubles();
DROP FUNCTION IF EXISTS muster.fold_lengths();
