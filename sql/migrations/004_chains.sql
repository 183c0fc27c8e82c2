-- Chains: tasks of one concurrency key that a worker runs one after the other, under
-- one slot.
-- compatible_from: 1

-- Those of task_ids that hold no slot of their key, in the order in which they run;
-- null: none.
ALTER TABLE muster.lease ADD COLUMN followers bigint[];
-- Both arrays stay in the row: compressing costs more than it saves.
ALTER TABLE muster.lease SET (toast_tuple_target = 8160);

DROP FUNCTION IF EXISTS muster.turn(bigint, bigint[], bigint[], text, int[],
	bigint[], text[], text[], int[], int[], int, bigint, int[], int[], int[],
	bigint[]);
DROP FUNCTION IF EXISTS muster.claim(int[], int[], int, bigint, int[], int[],
	int[], bigint[]);
DROP FUNCTION IF EXISTS muster.finish_successes(bigint, bigint[], int[], text[]);
DROP FUNCTION IF EXISTS muster.finish_tasks(bigint, bigint[], "char"[], int[],
	bigint[], text[], text[]);
DROP FUNCTION IF EXISTS muster.finish_failures(bigint, bigint[], "char"[], int[],
	bigint[], text[]);
DROP FUNCTION IF EXISTS muster.put_scheduled(bigint[], bigint[]);
DROP FUNCTION IF EXISTS muster.settle_final(bigint[], boolean, boolean);
DROP FUNCTION IF EXISTS muster.rescue_tasks(bigint, text, bigint[], text,
	bigint[]);
