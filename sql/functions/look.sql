-- What a scheduler has to do, at a look, and what it tidies up by the clock.

-- Which of a scheduler's chores may find something. Each is a transaction of its own,
-- and most of them would find nothing. What is due, and when, is for due() to say.
CREATE OR REPLACE FUNCTION muster.look(OUT carry_out boolean, OUT admit boolean,
	OUT unlock boolean, OUT fold boolean, OUT expand boolean)
LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
BEGIN
	SELECT EXISTS (SELECT FROM muster.request r
			WHERE r.done_at IS NULL AND r.id >= m.request),
		EXISTS (SELECT FROM muster.arriving a WHERE a.seq >= m.arriving)
			OR EXISTS (SELECT FROM muster.placing p
				WHERE p.seq >= m.arriving)
			OR EXISTS (SELECT FROM muster.lock_freed f
				WHERE f.id >= m.lock_freed),
		EXISTS (SELECT FROM muster.remainder r WHERE r.id >= m.remainder),
		EXISTS (SELECT FROM muster.flow_ends e WHERE e.id >= m.flow_ends)
			OR EXISTS (SELECT FROM muster.flow_delta d
				WHERE d.id >= m.flow_delta),
		EXISTS (SELECT FROM muster.route r WHERE r.queue = '-')
			OR EXISTS (SELECT FROM muster.expansion e
				WHERE e.id >= m.expansion)
	INTO carry_out, admit, unlock, fold, expand
	FROM (SELECT muster.list_mark('request') AS request,
			muster.list_mark('arriving') AS arriving,
			muster.list_mark('lock_freed') AS lock_freed,
			muster.list_mark('remainder') AS remainder,
			muster.list_mark('flow_ends') AS flow_ends,
			muster.list_mark('flow_delta') AS flow_delta,
			muster.list_mark('expansion') AS expansion
		OFFSET 0) m;
END
$$;

-- Doubles of routes and lanes, and what workers have told of lengths; to be called
-- about once a second. One at a time in the database.
CREATE OR REPLACE FUNCTION muster.tidy()
RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
BEGIN
	PERFORM muster.check_isolation();
	IF pg_try_advisory_xact_lock(hashtext('muster tidy')) THEN
		PERFORM muster.tidy_doubles(), muster.tidy_lengths();
	END IF;
END
$$;

-- Rows of route and lanes that stand there twice. The one that is first on disk
-- stays, so that one stays whoever removes the others.
CREATE OR REPLACE FUNCTION muster.tidy_doubles()
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM muster.lanes l WHERE l.ctid IN (
		SELECT x.at FROM (SELECT y.ctid AS at, row_number() OVER (
			PARTITION BY y.route_id, y.rank, y.lane ORDER BY y.ctid) AS n
			FROM muster.lanes y) x WHERE x.n > 1);
	DELETE FROM muster.route r WHERE r.ctid IN (
		SELECT x.at FROM (SELECT y.ctid AS at, row_number() OVER (
			PARTITION BY y.id, y.queue, y.kind ORDER BY y.ctid) AS n
			FROM muster.route y) x WHERE x.n > 1);
END
$$;
