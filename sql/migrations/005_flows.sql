-- A success that frees one step knows it without its edges.
-- compatible_from: 1

-- What its only edge leads to, a task or a set, if success meets that; null: the
-- edges tell.
ALTER TABLE muster.task ADD COLUMN sole bigint;

DROP FUNCTION IF EXISTS muster.all_succeeded(bigint[]);
DROP FUNCTION IF EXISTS muster.settle_edges(bigint[], "char"[], bigint[], int);
DROP FUNCTION IF EXISTS muster.settle_known(bigint[], "char"[], bigint[], "char"[],
	bigint[], bigint[], bigint[], bigint[]);
