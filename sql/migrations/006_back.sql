-- Tasks with very many needs come back by pieces in every way.
-- compatible_from: 1

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
