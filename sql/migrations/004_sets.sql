-- A row of ready may stand for several tasks.
-- compatible_from: 1

-- The tasks task_id … task_id + n - 1, all with this ticket; n is 16 at most, and 1
-- where a key is held and in lane 8. size is n times that of the largest.
ALTER TABLE muster.ready ADD COLUMN n int NOT NULL DEFAULT 1;

DROP FUNCTION IF EXISTS muster.announce(int[]);
DROP FUNCTION IF EXISTS muster.claim_fitting(tid[], bigint, boolean);
