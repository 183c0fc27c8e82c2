-- What is called differently now.
-- compatible_from: 1

DROP FUNCTION IF EXISTS muster.all_succeeded(bigint[]);
