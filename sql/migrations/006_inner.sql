-- Successes of inner steps are told to nobody but what they free; tasks with very
-- many needs come back by pieces in every way; claim() itself puts lines in order.
-- compatible_from: 1

-- How many steps were submitted as inner ones, and the last of them; recount: how many
-- of them are told to nobody is to be counted before the flow ends.
ALTER TABLE muster.flow
	ADD COLUMN inner_steps int NOT NULL DEFAULT 0,
	ADD COLUMN inner_to bigint,
	ADD COLUMN recount boolean NOT NULL DEFAULT false;
ALTER TABLE muster.flow_delta ADD COLUMN recount boolean NOT NULL DEFAULT false;

DROP FUNCTION IF EXISTS muster.settle_edges(bigint[], "char"[], bigint[], int,
	bigint[]);
DROP FUNCTION IF EXISTS muster.settle_known(bigint[], "char"[], bigint[], "char"[],
	bigint[], bigint[], bigint[], bigint[], bigint[]);
DROP FUNCTION IF EXISTS muster.unblock(bigint[], int[], int[]);
DROP FUNCTION IF EXISTS muster.unblock_rest(bigint[], int[], int[]);
DROP FUNCTION IF EXISTS muster.fold_count(bigint[], int[], int[], int[], int[], int[],
	int[]);
DROP FUNCTION IF EXISTS muster.reopen(bigint[], bigint[], bigint[]);
DROP FUNCTION IF EXISTS muster.retry_keyed(bigint[]);
DROP FUNCTION IF EXISTS muster.retry_choose(bigint[]);
DROP FUNCTION IF EXISTS muster.retry_slice(muster.request);
DROP FUNCTION IF EXISTS muster.retry_walked(muster.request);
DROP FUNCTION IF EXISTS muster.has_many(bigint);
DROP FUNCTION IF EXISTS muster.bulk_retry(bigint[]);
DROP FUNCTION IF EXISTS muster.revive(bigint[], bigint[]);
DROP FUNCTION IF EXISTS muster.place_needs(bigint[], bigint[], bigint[]);
DROP FUNCTION IF EXISTS muster.place(bigint[], timestamptz[], bigint[], bigint[]);
DROP FUNCTION IF EXISTS muster.claim_order(bigint, int[], int[], int[], bigint[],
	bigint[]);
