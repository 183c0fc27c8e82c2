-- compatible_from: 1
-- The lines that have something are found and put in order by claim() itself.
DROP FUNCTION IF EXISTS muster.claim_order(bigint, int[], int[], int[], bigint[], bigint[]);
