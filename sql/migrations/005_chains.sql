-- Chains are claimed and leased in the order in which they run.
-- compatible_from: 1

DROP FUNCTION IF EXISTS muster.claim_chains(bigint[], smallint[], int[], int[],
	int[], int, bigint);
DROP FUNCTION IF EXISTS muster.chain_take(bigint[], smallint[], int[], int[],
	int[], int, bigint);
DROP FUNCTION IF EXISTS muster.chain_fitting(tid[], bigint[], smallint[], int[],
	int[], int[], int[], int, bigint);
DROP FUNCTION IF EXISTS muster.chain_lease(bigint, bigint[], bigint[], int[],
	int[], bigint[]);
