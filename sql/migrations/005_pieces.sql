-- A task that waits for very many is placed a piece of its needs at a time. A success
-- that frees one step knows it without its edges. Chains are claimed and leased in the
-- order in which they run, and a claim tells what it would have taken more.
-- compatible_from: 1

-- Tasks of whose needs the first `placed` are looked at: the others count in the row
-- of blocked as yet to come. It stands in line with those that arrive. Of another life
-- than the task's, or of one that is not blocked any more, it is stale.
CREATE TABLE muster.placing (
	seq bigint PRIMARY KEY DEFAULT nextval('muster.arriving_seq'),
	task_id bigint NOT NULL,
	life smallint NOT NULL,
	placed int NOT NULL DEFAULT 0
) WITH (vacuum_truncate = off, autovacuum_vacuum_scale_factor = 0,
	autovacuum_vacuum_threshold = 2000, autovacuum_analyze_scale_factor = 0,
	autovacuum_analyze_threshold = 20000);

DROP FUNCTION IF EXISTS muster.admit_next(int);

-- What its only edge leads to, a task or a set, if success meets that; null: the
-- edges tell.
ALTER TABLE muster.task ADD COLUMN sole bigint;

DROP FUNCTION IF EXISTS muster.all_succeeded(bigint[]);
DROP FUNCTION IF EXISTS muster.settle_edges(bigint[], "char"[], bigint[], int);
DROP FUNCTION IF EXISTS muster.settle_known(bigint[], "char"[], bigint[], "char"[],
	bigint[], bigint[], bigint[], bigint[]);

DROP FUNCTION IF EXISTS muster.claim_chains(bigint[], smallint[], int[], int[],
	int[], int, bigint);
DROP FUNCTION IF EXISTS muster.chain_take(bigint[], smallint[], int[], int[],
	int[], int, bigint);
DROP FUNCTION IF EXISTS muster.chain_fitting(tid[], bigint[], smallint[], int[],
	int[], int[], int[], int, bigint);
DROP FUNCTION IF EXISTS muster.chain_lease(bigint, bigint[], bigint[], int[],
	int[], bigint[]);

DROP FUNCTION IF EXISTS muster.claim(int[], int[], int, bigint, int[], int[],
	int[], bigint[]);
