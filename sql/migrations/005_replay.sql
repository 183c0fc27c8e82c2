-- A claim tells what it would have taken more of each route.
-- compatible_from: 1

DROP FUNCTION IF EXISTS muster.claim(int[], int[], int, bigint, int[], int[],
	int[], bigint[]);
