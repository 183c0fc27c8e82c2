-- The steps of a flow get their ids, and their unique keys, before they are stored;
-- what is brought back in a flow is counted.
-- compatible_from: 1

DROP FUNCTION IF EXISTS muster.flow_store(bigint, jsonb, text[], jsonb[],
	smallint[], int[], int[], text[]);
DROP FUNCTION IF EXISTS muster.reopen_all(bigint[]);
