-- Ends of tasks are counted in their flows a turn at a time; marks for more lists, so
-- that a transaction that holds back the vacuum for long slows down none of them.
-- compatible_from: 1

-- Ends of tasks that were not yet counted in flow, a row a turn; n: how many.
-- The order is that of flow_delta, so one mark of the sequence is safe for both.
CREATE TABLE muster.flow_ends (
	id bigint PRIMARY KEY DEFAULT nextval('muster.flow_delta_id'),
	n int NOT NULL,
	flows bigint[] NOT NULL,
	states "char"[] NOT NULL
) WITH (toast_tuple_target = 8160, vacuum_truncate = off,
	autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
	autovacuum_analyze_scale_factor = 0,
	autovacuum_analyze_threshold = 20000);
-- Compressing costs more than it saves.
ALTER TABLE muster.flow_ends ALTER COLUMN flows SET STORAGE EXTERNAL,
	ALTER COLUMN states SET STORAGE EXTERNAL;

-- No index on what fold() changes, and room in the page: its updates are HOT.
-- What could not end yet is met again as a delta of nothing.
DROP INDEX muster.flow_ending;
ALTER TABLE muster.flow SET (fillfactor = 45);
INSERT INTO muster.flow_delta (flow_id)
SELECT f.id FROM muster.flow f WHERE f.finished_at IS NULL
	AND f.total = f.succeeded + f.failed + f.cancelled + f.skipped;

DROP FUNCTION IF EXISTS muster.fold_deltas(bigint[]);
DROP FUNCTION IF EXISTS muster.fold_ended(int);

-- The order of admission; a task may stand there again when it is old.
CREATE SEQUENCE muster.arriving_seq CACHE 1;
ALTER TABLE muster.arriving
	ADD COLUMN seq bigint NOT NULL DEFAULT nextval('muster.arriving_seq');
CREATE INDEX arriving_order ON muster.arriving (seq);

-- The last values of the sequences of the lists, in the order of list_lane().
DELETE FROM muster.probe;
ALTER TABLE muster.probe DROP COLUMN delta, DROP COLUMN rest,
	ADD COLUMN lists bigint[] NOT NULL;

DROP FUNCTION IF EXISTS muster.mark_list(int, bigint, bigint);

DROP FUNCTION IF EXISTS muster.flow_store(bigint, jsonb, text[], jsonb[],
	smallint[], int[], int[], text[]);
DROP FUNCTION IF EXISTS muster.reopen_all(bigint[]);
DROP FUNCTION IF EXISTS muster.lock_floor_of(bigint);
