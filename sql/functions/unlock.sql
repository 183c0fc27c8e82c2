-- The rest of settling: what a turn left because it was too much for one
-- transaction, or because it is the next level.

-- Open tasks (ascending, locked) that can't run any more become skipped; the
-- first need that keeps each from running goes into its error.
CREATE OR REPLACE FUNCTION muster.skip(p_ids bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_ids bigint[];
	v_text text[];
BEGIN
	SELECT array_agg(r.id), array_agg(format('needs task %s, which %s',
		r.need, CASE r.state WHEN 's' THEN 'succeeded'
			WHEN 'f' THEN 'failed' WHEN 'c' THEN 'was cancelled'
			WHEN 'k' THEN 'was skipped' ELSE 'does not exist' END))
	INTO v_ids, v_text
	FROM (
		SELECT DISTINCT ON (p.id) p.id, u.need, t.state
		FROM unnest(p_ids) p(id)
		CROSS JOIN LATERAL (SELECT x.ids, x.conds FROM muster.needs x
			WHERE x.task_id = p.id OFFSET 0) n
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
	PERFORM muster.settle_final(p_ids, p_held => false);
END
$$;

-- Works off remainders, up to p_limit of them and about as many edges; how
-- much was done, 0 when there is nothing left. Several may run at a time.
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
	v_open bigint[];
	v_done int;
BEGIN
	PERFORM muster.check_isolation();
	SELECT array_agg(r.id), array_agg(r.task_id) INTO v_rest, v_task
	FROM (SELECT x.id, x.task_id FROM muster.remainder x
		WHERE x.was IS NULL
			AND x.id >= muster.list_mark('remainder')
		ORDER BY x.id
		LIMIT p_limit FOR UPDATE SKIP LOCKED) r;
	IF v_rest IS NULL THEN
		RETURN muster.unlock_again(p_limit);
	END IF;
	v_done := cardinality(v_rest);
	SELECT array_agg(t.id) INTO v_open
	FROM (SELECT x.id, x.state FROM muster.task x
		WHERE x.id = ANY (v_task) ORDER BY x.id FOR NO KEY UPDATE) t
	WHERE t.state IS NULL;
	SELECT array_agg(g.task_id), array_agg(g.cursor),
		array_agg(g.outcome)
	INTO v_task, v_cursor, v_states
	FROM (SELECT r.* FROM muster.remainder r WHERE r.id = ANY (v_rest)
		AND (r.task_id IN (SELECT unnest(v_open))) IS FALSE
		ORDER BY r.task_id) g;
	DELETE FROM muster.remainder r WHERE r.id = ANY (v_rest);
	IF v_open IS NOT NULL THEN
		PERFORM muster.skip(v_open);
	END IF;
	IF v_task IS NOT NULL THEN
		v_done := v_done + muster.settle_edges(v_task, v_states,
			v_cursor, p_limit);
	END IF;
	RETURN v_done;
END
$$;

-- One remainder of a task that ended a second time: its dependents were told
-- of the first end, so those that still wait get the difference, and those that
-- were skipped for it come back if nothing else keeps them.
-- Locks: remainder, then the skipped with their needs, then blocked.
CREATE OR REPLACE FUNCTION muster.unlock_again(p_limit int)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_rest muster.remainder;
	v_life smallint;
	v_dep bigint[];
	v_met int[];
	v_unmet int[];
	v_back bigint[];
BEGIN
	SELECT * INTO v_rest FROM muster.remainder r WHERE r.was IS NOT NULL
	ORDER BY r.id LIMIT 1 FOR UPDATE SKIP LOCKED;
	IF NOT FOUND THEN
		RETURN 0;
	END IF;
	SELECT t.life INTO v_life FROM muster.task t
	WHERE t.id = v_rest.task_id;
	SELECT array_agg(e.task_id), array_agg(e.now::int - e.before::int),
		array_agg((NOT e.now)::int - (e.told AND NOT e.before)::int),
		array_agg(e.task_id) FILTER (WHERE e.now)
	INTO v_dep, v_met, v_unmet, v_back
	FROM (SELECT d.task_id, muster.edge_met(d.cond, v_rest.outcome) AS now,
			d.life < v_life AS told, d.life < v_life
			AND muster.edge_met(d.cond, v_rest.was) AS before
		FROM (SELECT x.task_id, x.cond, x.life FROM muster.edge x
			WHERE x.need = v_rest.task_id
			AND x.task_id > v_rest.cursor
			ORDER BY x.task_id LIMIT p_limit) d) e;
	IF v_back IS NOT NULL THEN
		PERFORM muster.revive(v_back, v_rest.task_id);
	END IF;
	IF v_dep IS NOT NULL THEN
		PERFORM muster.unblock(v_dep, v_met, v_unmet);
	END IF;
	IF cardinality(v_dep) = p_limit THEN
		UPDATE muster.remainder SET cursor = v_dep[p_limit]
		WHERE id = v_rest.id;
	ELSE
		DELETE FROM muster.remainder WHERE id = v_rest.id;
	END IF;
	RETURN 1 + coalesce(cardinality(v_dep), 0);
END
$$;

-- Those of p_ids that were skipped, and have no other need that can't be met,
-- are open again.
CREATE OR REPLACE FUNCTION muster.revive(p_ids bigint[], p_done bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_ids bigint[];
	v_unmet bigint[];
BEGIN
	v_ids := ARRAY(SELECT t.id FROM muster.task t
		WHERE t.id = ANY (p_ids) AND t.state = 'k' ORDER BY t.id);
	PERFORM FROM (SELECT FROM muster.task t
		WHERE t.id = ANY (v_ids || ARRAY(SELECT unnest(n.ids)
			FROM muster.needs n WHERE n.task_id = ANY (v_ids)))
		ORDER BY t.id FOR NO KEY UPDATE) l;
	v_ids := ARRAY(SELECT t.id FROM muster.task t
		WHERE t.id = ANY (v_ids) AND t.state = 'k'
		AND NOT EXISTS (SELECT FROM muster.remainder r
			WHERE r.task_id = t.id) ORDER BY t.id);
	IF v_ids <> '{}' THEN
		PERFORM muster.reopen(v_ids, p_done);
	END IF;
END
$$;
