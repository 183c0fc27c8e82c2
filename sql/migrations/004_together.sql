-- Tasks that go together: sets, of which one row of `ready` or `blocked` stands for
-- several tasks, and chains of a concurrency key, under one slot. Who is ready with a
-- slot may be overtaken. Requests in their sorts.
-- compatible_from: 1

-- The tasks task_id … task_id + n - 1, all with this ticket; n is 16 at most, and 1
-- where a key is held and in lane 8. size is n times that of the largest.
ALTER TABLE muster.ready ADD COLUMN n int NOT NULL DEFAULT 1;

-- first: the row is that of a set of n tasks, of which this is the first, and
-- task_id is the set's own id, the one after theirs. mixed: they may have different
-- ranks by now.
ALTER TABLE muster.blocked
	ADD COLUMN n int NOT NULL DEFAULT 1,
	ADD COLUMN first bigint,
	ADD COLUMN mixed boolean NOT NULL DEFAULT false;

-- The set in which the task began to wait.
ALTER TABLE muster.task ADD COLUMN set_id bigint;

DROP FUNCTION IF EXISTS muster.announce(int[]);
DROP FUNCTION IF EXISTS muster.claim_fitting(tid[], bigint, boolean);
DROP FUNCTION IF EXISTS muster.flow_ids(int, int[], int[]);
DROP FUNCTION IF EXISTS muster.flow_store(bigint, bigint[], jsonb, text[],
	jsonb[], smallint[], int[], int[], text[]);
DROP FUNCTION IF EXISTS muster.flow_place(bigint[], int[], int[], int[],
	bigint[], smallint[], timestamptz[], int[], int[]);

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

-- aged: it has its slot by age, before more urgent ones; null: it has not.
ALTER TABLE muster.ready ADD COLUMN aged boolean;
CREATE INDEX ready_keyed ON muster.ready (lock_id, rank, lane, seq)
	WHERE lock_id IS NOT NULL;

-- Which of three sorts a request belongs to: for one thing, for a flow, for many
-- tasks. Each sort is met in its order.
ALTER TABLE muster.request ADD COLUMN sort smallint NOT NULL GENERATED ALWAYS AS (
	CASE WHEN total IS NOT NULL THEN 3
	WHEN verb IN ('stop_flow', 'cancel_flow', 'retry_flow', 'reopen') THEN 2
	ELSE 1 END) STORED;
CREATE INDEX request_sort ON muster.request (sort, id) WHERE done_at IS NULL;
CREATE INDEX request_target ON muster.request (verb, target)
	WHERE done_at IS NULL;

DROP FUNCTION IF EXISTS muster.request_sort(text, int);
DROP FUNCTION IF EXISTS muster.carry_sort(int, bigint, int, boolean, timestamptz);

DROP FUNCTION IF EXISTS muster.claim_order(int[], int[], int[], bigint[],
	bigint[]);
DROP FUNCTION IF EXISTS muster.flow_lanes(text[], int[], int[], float8[]);
