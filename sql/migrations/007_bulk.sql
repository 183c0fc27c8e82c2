-- What bulk requests note, and functions whose parameters or rows changed.
-- compatible_from: 1

DROP FUNCTION IF EXISTS muster.why_one(bigint);
DROP FUNCTION IF EXISTS muster.why_running(bigint, bigint);
DROP FUNCTION IF EXISTS muster.why_ready(text, text, int, smallint, bigint);
