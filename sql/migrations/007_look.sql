-- A scheduler looks which of its chores have something to do; what it tidies up has a
-- time of its own.
-- compatible_from: 1

DROP FUNCTION IF EXISTS muster.fold_doubles();
DROP FUNCTION IF EXISTS muster.fold_lengths();
