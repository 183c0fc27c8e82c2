-- Changed parameters.
-- compatible_from: 1
DROP FUNCTION IF EXISTS muster.claim_order(
	int[], int[], int[], bigint[], bigint[]);
DROP FUNCTION IF EXISTS muster.flow_lanes(text[], int[], int[], float8[]);
DROP FUNCTION IF EXISTS muster.flow_ids(int, int[], int[]);
