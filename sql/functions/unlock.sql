-- The rest of settling: what a turn left because it was too much for one
-- transaction, or because it is the next level.

-- Open tasks (ascending, locked) that can't run any more become skipped; the
-- first need that was not met goes into the error of each.
CREATE OR REPLACE FUNCTION muster.skip(p_ids bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_ids bigint[];
	v_text text[];
BEGIN
	SELECT array_agg(r.id), array_agg(CASE WHEN r.least IS NULL
			THEN format('needs task %s, which ', r.need)
			ELSE format('needs %s of %s tasks, too many of which did '
				'otherwise: task %s ', r.least, r.n, r.need) END
		|| CASE r.state WHEN 's' THEN 'succeeded'
			WHEN 'f' THEN 'failed' WHEN 'c' THEN 'was cancelled'
			WHEN 'k' THEN 'was skipped' ELSE 'does not exist' END)
	INTO v_ids, v_text
	FROM (
		SELECT DISTINCT ON (p.id) p.id, u.need, t.state, n.least,
			cardinality(n.ids) AS n
		FROM unnest(p_ids) p(id)
		CROSS JOIN LATERAL (SELECT x.ids, x.conds, x.least
			FROM muster.needs x WHERE x.task_id = p.id OFFSET 0) n
		CROSS JOIN LATERAL unnest(n.ids, string_to_array(n.conds, NULL))
			WITH ORDINALITY u(need, cond, o)
		LEFT JOIN LATERAL (SELECT x.id, x.state FROM muster.task x
			WHERE x.id = u.need OFFSET 0) t ON true
		WHERE t.id IS NULL OR (t.state IS NOT NULL
			AND NOT muster.edge_met(u.cond::"char", t.state))
		ORDER BY p.id, u.o
	) r;
	UPDATE muster.task t SET state = 'k', finished_at = now(),
		error = v_text[width_bucket(t.id, v_ids)]
	WHERE t.id = ANY (p_ids);
	PERFORM muster.settle_final(p_ids, p_bare => p_ids);
END
$$;

-- Works off remainders, up to p_limit of them and about as many edges; how
-- much was done, 0 when there is nothing left. A failure that stops its flow is told
-- of when that is cancelled: what waits for it in the flow does not run then, and what
-- waits outside goes on. Several may run at a time. Sets
-- of which all is to be skipped go first and alone, then what is to be skipped: two
-- steps in one transaction would lock blocked in no order.
-- Locks: remainder (what others hold is stepped over), task, then as settle_final().
CREATE OR REPLACE FUNCTION muster.unlock(p_limit int)
RETURNS int LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
	v_rest bigint[];
	v_task bigint[];
	v_cursor bigint[];
	v_states "char"[];
	v_known bigint[]; -- of v_task; the others are sets
	v_sets bigint[];
	v_open bigint[];
BEGIN
	PERFORM muster.check_isolation();
	SELECT array_agg(r.id), array_agg(r.task_id) INTO v_rest, v_task
	FROM (SELECT x.id, x.task_id FROM muster.remainder x
		WHERE x.was IS NULL
			AND x.id >= muster.list_mark('remainder')
			AND (x.outcome = 'f'
				AND muster.flow_fails(x.flow_id)) IS NOT TRUE
		ORDER BY x.id
		LIMIT p_limit FOR UPDATE SKIP LOCKED) r;
	IF v_rest IS NULL THEN
		RETURN muster.unlock_again(p_limit);
	END IF;
	SELECT array_agg(t.id), array_agg(t.id) FILTER (WHERE t.state IS NULL)
	INTO v_known, v_open
	FROM (SELECT x.id, x.state FROM muster.task x
		WHERE x.id = ANY (v_task) ORDER BY x.id FOR NO KEY UPDATE) t;
	IF (cardinality(v_known) = cardinality(v_task)) IS NOT TRUE THEN
		v_sets := muster.without(v_task, v_known);
	END IF;
	IF v_sets <> '{}' THEN
		RETURN muster.unlock_sets(v_sets[: greatest(p_limit / 16, 1)]);
	ELSIF v_open IS NOT NULL THEN
		DELETE FROM muster.remainder r WHERE r.id = ANY (v_rest)
			AND (r.task_id IN (SELECT unnest(v_open))) IS TRUE;
		PERFORM muster.skip(v_open);
		RETURN cardinality(v_open);
	END IF;
	SELECT array_agg(g.task_id), array_agg(g.cursor),
		array_agg(g.outcome)
	INTO v_task, v_cursor, v_states
	FROM (SELECT r.* FROM muster.remainder r WHERE r.id = ANY (v_rest)
		ORDER BY r.task_id) g;
	DELETE FROM muster.remainder r WHERE r.id = ANY (v_rest);
	RETURN cardinality(v_rest)
		+ (muster.settle_edges(v_task, v_states, v_cursor, p_limit)).o_edges;
END
$$;

-- The tasks of these sets, whose remainders the caller has locked, are to be
-- skipped, one by one, unless a need that has ended again lets them run after all;
-- how many sets.
-- Locks: blocked, in order; then it inserts.
CREATE OR REPLACE FUNCTION muster.unlock_sets(p_sets bigint[])
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_at tid[];
BEGIN
	SELECT array_agg(l.at) INTO v_at
	FROM (SELECT b.ctid AS at, b.spare FROM muster.blocked b
		WHERE b.task_id = ANY (p_sets) ORDER BY b.task_id FOR UPDATE) l
	WHERE l.spare < 0;
	PERFORM muster.skip_later(muster.blocked_gone(v_at));
	DELETE FROM muster.remainder r WHERE r.task_id = ANY (p_sets);
	RETURN cardinality(p_sets);
END
$$;

-- Remainders of tasks that ended a second time: their dependents were told of
-- the first end, so those that still wait get the difference, and those that
-- were skipped for it come back if nothing else keeps them. As many remainders
-- as have fewer than p_limit edges together, or a part of the first.
-- It wants rows of blocked that have counted the first end, so in unblock() it
-- may come crosswise with those who bring all that such a row still needs. So it
-- waits for nobody for long: it undoes what it did, puts these remainders behind
-- the others, which it may be waiting for, and is called again. It holds
-- what it tells of before it reads the edges: nobody places a dependent meanwhile,
-- which would count that end otherwise than the difference does.
-- Locks: remainder, task, then as revive(), then blocked.
CREATE OR REPLACE FUNCTION muster.unlock_again(p_limit int)
RETURNS int LANGUAGE plpgsql SET lock_timeout = '50ms' AS $$
DECLARE
	v_rest bigint[];
	v_need bigint[];
	v_cursor bigint[];
	v_now "char"[];
	v_was "char"[];
	v_done bigint[];
	v_back bigint[];
	v_dep bigint[];
	v_met int[];
	v_unmet int[];
	v_last bigint;
BEGIN
	SELECT array_agg(r.id), array_agg(r.task_id), array_agg(r.cursor),
		array_agg(r.outcome), array_agg(r.was)
	INTO v_rest, v_need, v_cursor, v_now, v_was
	FROM (SELECT x.* FROM muster.remainder x WHERE x.was IS NOT NULL
			AND x.id >= muster.list_mark('remainder')
			AND (x.outcome = 'f'
				AND muster.flow_fails(x.flow_id)) IS NOT TRUE
		ORDER BY x.id LIMIT p_limit FOR UPDATE SKIP LOCKED) r;
	IF v_rest IS NULL THEN
		RETURN 0;
	END IF;
	PERFORM FROM (SELECT FROM muster.task t WHERE t.id = ANY (v_need)
		ORDER BY t.id FOR NO KEY UPDATE) l;
	WITH e AS MATERIALIZED (
		SELECT n.o, d.task_id, muster.edge_met(d.cond, v_now[n.o]) AS now,
			d.life < t.life AS told, d.life < t.life
			AND muster.edge_met(d.cond, v_was[n.o]) AS before
		FROM unnest(v_need) WITH ORDINALITY n(id, o)
		CROSS JOIN LATERAL (SELECT x.life FROM muster.task x
			WHERE x.id = n.id OFFSET 0) t
		CROSS JOIN LATERAL (SELECT x.task_id, x.cond, x.life
			FROM muster.edge x WHERE x.need = n.id
			AND x.task_id > v_cursor[n.o]
			ORDER BY x.task_id LIMIT p_limit) d
		LIMIT p_limit
	), whole AS ( -- all, unless the limit cut off some of the last
		SELECT CASE WHEN count(*) < p_limit THEN cardinality(v_need)
			ELSE greatest(max(e.o) - 1, 1) END AS upto,
			count(*) = p_limit AND max(e.o) = 1 AS part FROM e
	), g AS (
		SELECT e.task_id, sum(e.now::int - e.before::int)::int AS met,
			sum((NOT e.now)::int - (e.told AND NOT e.before)::int)::int
				AS unmet, bool_or(e.now) AS now
		FROM e WHERE e.o <= (SELECT w.upto FROM whole w)
		GROUP BY e.task_id
	)
	SELECT array_agg(g.task_id ORDER BY g.task_id),
		array_agg(g.met ORDER BY g.task_id),
		array_agg(g.unmet ORDER BY g.task_id),
		array_agg(g.task_id) FILTER (WHERE g.now),
		v_need[: (SELECT w.upto FROM whole w)],
		CASE WHEN (SELECT w.part FROM whole w) THEN max(g.task_id) END
	INTO v_dep, v_met, v_unmet, v_back, v_done, v_last FROM g;
	IF v_last IS NOT NULL THEN
		UPDATE muster.remainder SET cursor = v_last WHERE id = v_rest[1];
	ELSE
		DELETE FROM muster.remainder r
		WHERE r.id = ANY (v_rest[: cardinality(v_done)]);
	END IF;
	IF v_back IS NOT NULL THEN
		v_back := muster.revive(v_back);
		-- What came back has counted this end already.
		SELECT array_agg(u.d), array_agg(u.m), array_agg(u.n)
		INTO v_dep, v_met, v_unmet
		FROM unnest(v_dep, v_met, v_unmet) u(d, m, n)
		WHERE (u.d IN (SELECT unnest(v_back))) IS NOT TRUE;
	END IF;
	IF v_dep IS NOT NULL THEN
		PERFORM muster.unblock(v_dep, v_met, v_unmet);
	END IF;
	RETURN cardinality(v_done) + coalesce(cardinality(v_dep), 0);
EXCEPTION WHEN lock_not_available THEN
	UPDATE muster.remainder r SET id = nextval('muster.remainder_id')
	WHERE r.ctid = ANY (ARRAY(SELECT x.ctid FROM muster.remainder x
		WHERE x.id = ANY (v_rest[: cardinality(v_done)])
		FOR UPDATE SKIP LOCKED));
	RETURN 1;
END
$$;

-- Those of p_ids, tasks and sets, that were skipped, and of whose needs enough can
-- be met again, are open again, and given; nothing of a flow that was stopped. Where a
-- retry walks through their flow, one of whose needs it has yet to meet is left to it:
-- that need may come back, too, and then its last end is not what counts. The walk
-- cannot go on meanwhile. So is
-- what stands in the list of a retry by filter, which takes tasks off only while it
-- holds them. One that has yet to tell its own dependents of its end has to be waited
-- for: lock_not_available.
-- Locks: request, then the tasks with their needs.
CREATE OR REPLACE FUNCTION muster.revive(p_ids bigint[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	v_ids bigint[] := p_ids || muster.set_members(p_ids);
	v_all bigint[];
	v_walks CONSTANT text[] := '{retry_flow,reopen}';
BEGIN
	v_ids := ARRAY(SELECT t.id FROM muster.task t
		WHERE t.id = ANY (v_ids) AND t.state = 'k' ORDER BY t.id);
	IF v_ids = '{}' THEN
		RETURN NULL;
	END IF;
	PERFORM FROM muster.request r WHERE r.done_at IS NULL
		AND r.verb = ANY (v_walks) AND r.target = ANY (ARRAY(
			SELECT t.flow_id FROM muster.task t
			WHERE t.id = ANY (v_ids)))
	ORDER BY r.id FOR SHARE;
	v_all := muster.with_needs(v_ids);
	PERFORM FROM (SELECT FROM muster.task t WHERE t.id = ANY (v_all)
		ORDER BY t.id FOR NO KEY UPDATE) l;
	v_ids := ARRAY(SELECT t.id FROM muster.task t
		WHERE t.id = ANY (v_ids) AND t.state = 'k'
		AND NOT EXISTS (SELECT FROM muster.flow f
			WHERE f.id = t.flow_id AND f.stopped)
		AND NOT EXISTS (SELECT FROM muster.request r
			WHERE r.done_at IS NULL AND r.verb = ANY (v_walks)
			AND r.target = t.flow_id
			AND r.cursor < (SELECT max(u.need) FROM muster.needs n
				CROSS JOIN LATERAL unnest(n.ids) u(need)
				WHERE n.task_id = t.id)) ORDER BY t.id);
	v_ids := muster.without(v_ids, muster.bulk_listed(v_ids));
	IF EXISTS (SELECT FROM muster.remainder r
			WHERE r.task_id = ANY (v_ids)) THEN
		RAISE lock_not_available;
	END IF;
	RETURN (muster.bring_back(v_ids)).o_again;
END
$$;
