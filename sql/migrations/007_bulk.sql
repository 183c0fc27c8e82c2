-- Requests for many tasks at once, and functions whose parameters or rows
-- changed.
-- compatible_from: 1

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
) WITH (vacuum_truncate = off, autovacuum_vacuum_scale_factor = 0,
	autovacuum_vacuum_threshold = 2000, autovacuum_analyze_scale_factor = 0,
	autovacuum_analyze_threshold = 20000);

DROP FUNCTION IF EXISTS muster.enqueue_many(text, jsonb[], text, int,
	timestamptz, int, interval, boolean);
DROP FUNCTION IF EXISTS muster.why(bigint);
DROP FUNCTION IF EXISTS muster.why_one(bigint);
DROP FUNCTION IF EXISTS muster.why_running(bigint, bigint);
DROP FUNCTION IF EXISTS muster.why_ready(text, text, int, smallint, bigint);
