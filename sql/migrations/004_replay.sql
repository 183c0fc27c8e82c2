-- Changed parameters.
-- compatible_from: 1
DROP FUNCTION IF EXISTS muster.claim_order(
	int[], int[], int[], bigint[], bigint[]);
