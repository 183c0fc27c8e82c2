-- Settling: what the end of tasks means for those that depend on them and for
-- their flows. Every final state goes through settle_final().

-- Raises unless each statement sees what committed before it: under a longer
-- lived snapshot an unlock would be lost without an error.
CREATE OR REPLACE FUNCTION muster.check_isolation()
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('transaction_isolation') <> 'read committed' THEN
		RAISE EXCEPTION 'this must run under read committed, not under %',
			current_setting('transaction_isolation')
			USING ERRCODE = 'MU004';
	END IF;
END
$$;

-- Whether an edge of this condition is met by this outcome.
CREATE OR REPLACE FUNCTION muster.edge_met(p_cond "char", p_outcome "char")
RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
	SELECT p_cond = 'a' OR (p_cond = 's' AND p_outcome = 's')
		OR (p_cond = 'f' AND p_outcome = 'f')
$$;

-- What follows from the end of the tasks p_ids (ascending, locked by the caller),
-- whose rows say all: those that depend on them and their flows are told, and
-- purge() will meet them. Those that have ended before, in an earlier life, are
-- left to unlock(), and so are failures that stop their flow: nothing is freed by
-- one before that is cancelled. p_defer: whoever locks tasks for update must not wait
-- for `blocked`, so all edges are left to unlock(). p_bare: those of them that have no
-- slot of their key to hand on.
-- Locks: as settle_known(). Called by finish, rescue, carry_out, unlock and admit.
CREATE OR REPLACE FUNCTION muster.settle_final(p_ids bigint[],
	p_defer boolean DEFAULT false, p_bare bigint[] DEFAULT NULL)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_flows bigint[];
	v_states "char"[]; -- of the tasks in v_flows
	v_needs bigint[];
	v_told "char"[]; -- the states of v_needs
	v_later bigint[];
	v_plain bigint[];
	v_locks bigint[];
	v_unique bigint[];
	v_soles bigint[];
	v_absent bigint[];
	v_inner boolean;
BEGIN
	SELECT array_agg(t.flow_id) FILTER (WHERE t.tells),
		array_agg(t.state) FILTER (WHERE t.tells),
		array_agg(t.id) FILTER (WHERE t.has_dependents AND NOT t.later
			AND NOT t.frees),
		array_agg(t.state) FILTER (WHERE t.has_dependents
			AND NOT t.later AND NOT t.frees),
		array_agg(t.id) FILTER (WHERE t.later
			AND (t.has_dependents OR t.stops)),
		array_agg(t.lock_id) FILTER (WHERE t.lock_id IS NOT NULL
			AND (t.id IN (SELECT unnest(p_bare))) IS NOT TRUE),
		array_agg(t.id) FILTER (WHERE t.unique_key IS NOT NULL),
		array_agg(t.id) FILTER (WHERE t.flow_id IS NULL),
		array_agg(t.sole) FILTER (WHERE t.frees AND NOT t.later),
		bool_or(t.inner AND t.later)
	INTO v_flows, v_states, v_needs, v_told, v_later, v_locks, v_unique,
		v_plain, v_soles, v_inner
	FROM (SELECT x.id, x.flow_id, x.state, x.has_dependents, x.lock_id,
			x.unique_key, x.sole,
			p_defer OR x.settled IS NOT NULL
				OR x.state = 'f' AND x.fail_fast AS later,
			x.state = 'f' AND x.fail_fast AS stops,
			x.state = 's' AND x.sole IS NOT NULL AS frees,
			coalesce(x.state = 's' AND x.sole < 0, false) AS inner,
			x.flow_id IS NOT NULL
				AND (x.state = 's' AND x.sole < 0) IS NOT TRUE
				AS tells
		FROM muster.task x WHERE x.id = ANY (p_ids) ORDER BY x.id) t;
	v_absent := muster.settle_known(v_flows, v_states, v_needs, v_told,
		v_later, v_locks, v_unique, v_plain, v_soles);
	IF v_inner OR v_absent IS NOT NULL THEN
		PERFORM muster.settle_inner(p_ids, v_absent);
	END IF;
	IF v_flows IS NOT NULL AND 'f' = ANY (v_states) THEN
		PERFORM muster.stop_flows(p_ids);
	END IF;
END
$$;

-- settle_final() for who knows the rows; what there is none of is null. p_flows:
-- the flows of those that are in one, p_states: how these ended ('{}': all
-- succeeded). p_needs: those
-- that others depend on and that end for the first time, p_told: how (null: all
-- succeeded); p_soles: of others that succeeded, task.sole; inner steps among them are
-- not in p_flows, and told by the caller if what they free is given back: that does not
-- wait for them any more. p_later:
-- those of which unlock() is to tell. p_locks: the keys of which a slot becomes
-- free; p_unique: those with a unique key; p_plain: those in no flow.
-- Locks: blocked, as unblock(); then as lock_free(); then it inserts.
CREATE OR REPLACE FUNCTION muster.settle_known(p_flows bigint[],
	p_states "char"[], p_needs bigint[], p_told "char"[], p_later bigint[],
	p_locks bigint[], p_unique bigint[], p_plain bigint[],
	p_soles bigint[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	v_edges record;
	v_absent bigint[];
	v_done text; -- as in turn()
BEGIN
	IF p_needs IS NOT NULL OR p_soles IS NOT NULL THEN
		v_edges := muster.settle_edges(p_needs, p_told, NULL,
			greatest(2000, 10 * cardinality(p_needs)), p_soles);
		IF p_soles IS NOT NULL THEN
			v_absent := v_edges.o_absent;
		END IF;
	END IF;
	IF p_later IS NOT NULL THEN
		INSERT INTO muster.remainder (task_id, flow_id, outcome, was)
		SELECT t.id, t.flow_id, t.state, t.settled FROM muster.task t
		WHERE t.id = ANY (p_later);
		PERFORM muster.announce_work();
	END IF;
	IF p_flows IS NOT NULL THEN
		INSERT INTO muster.flow_ends (n, flows, states)
		VALUES (cardinality(p_flows), p_flows, p_states);
		v_done := muster.announce_work();
	END IF;
	IF p_locks IS NOT NULL THEN
		PERFORM muster.lock_free(p_locks);
	END IF;
	IF p_unique IS NOT NULL THEN
		PERFORM muster.unique_free(p_unique);
	END IF;
	IF p_plain IS NOT NULL THEN
		INSERT INTO muster.finished
		VALUES (clock_timestamp(), NULL, p_plain);
	END IF;
	RETURN v_absent;
END
$$;

-- Some of p_ids, locked by the caller, are inner steps that succeeded just now and whose
-- flows are told after all: those that live again, and those that free p_absent. What is
-- told to nobody is counted in these flows from now on.
CREATE OR REPLACE FUNCTION muster.settle_inner(
	p_ids bigint[], p_absent bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	WITH told AS (
		UPDATE muster.task t SET sole = NULL
		WHERE t.id = ANY (p_ids) AND t.sole < 0 AND t.state = 's'
			AND (t.settled IS NOT NULL
			OR (-t.sole IN (SELECT unnest(p_absent))) IS TRUE)
		RETURNING t.flow_id
	)
	INSERT INTO muster.flow_delta (flow_id, succeeded, recount)
	SELECT t.flow_id, count(*), true FROM told t GROUP BY t.flow_id;
	PERFORM muster.announce_work();
END
$$;

-- Asks for the end of the flows that a failure among p_ids stops.
CREATE OR REPLACE FUNCTION muster.stop_flows(p_ids bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO muster.request (verb, target)
	SELECT DISTINCT 'stop_flow', t.flow_id FROM muster.task t
	WHERE t.id = ANY (p_ids) AND t.state = 'f' AND t.fail_fast;
END
$$;

-- Whether a failure has asked for the end of this flow, and its tasks have not all
-- been cancelled yet.
CREATE OR REPLACE FUNCTION muster.flow_fails(p_flow bigint)
RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
	RETURN EXISTS (SELECT FROM muster.request r WHERE r.verb = 'stop_flow'
		AND r.target = p_flow AND r.done_at IS NULL);
END
$$;

-- Works off the edges of p_needs (ascending), which ended as p_states says (null:
-- all succeeded), from p_cursors on (null: all); at most p_limit, the rest becomes
-- remainders. o_edges: how many. p_soles: what others that succeeded free, each its
-- one dependent; below 0 that of an inner step. o_absent: as unblock().
-- No joins: plans made while a table was empty must stay good plans, so rows
-- are found by = ANY (array) or LATERAL, and what belongs to a row by binary
-- search in arrays that are in order (width_bucket). There an array stands as
-- (SELECT array || '{}'): a variable of this language would be copied for each
-- row.
CREATE OR REPLACE FUNCTION muster.settle_edges(
	p_needs bigint[], p_states "char"[], p_cursors bigint[], p_limit int,
	p_soles bigint[] DEFAULT NULL, OUT o_edges int, OUT o_absent bigint[])
LANGUAGE plpgsql AS $$
DECLARE
	v_first CONSTANT bigint := p_needs[1];
	v_last bigint := p_needs[cardinality(p_needs)];
	v_all CONSTANT boolean := p_states IS NULL; -- succeeded
	v_walked int := p_limit;
	v_need bigint;
	v_dep bigint[];
	v_met int[];
	v_unmet int[];
BEGIN
	o_edges := 0;
	IF p_cursors IS NULL AND v_last - v_first < 4 * cardinality(p_needs) THEN
		SELECT coalesce(sum(g.n), 0),
			coalesce(sum(g.n) FILTER (WHERE g.task_id IS NOT NULL), 0),
			array_agg(g.task_id) FILTER (WHERE g.task_id IS NOT NULL),
			array_agg(g.met) FILTER (WHERE g.task_id IS NOT NULL),
			array_agg(g.n - g.met) FILTER (WHERE g.task_id IS NOT NULL)
		INTO v_walked, o_edges, v_dep, v_met, v_unmet
		FROM (SELECT e.dep AS task_id, count(*)::int AS n,
				count(*) FILTER (WHERE e.met)::int AS met
			FROM (
				SELECT CASE WHEN p_needs[d.o] = d.need
						THEN d.task_id END AS dep,
					v_all AND d.cond <> 'f' OR NOT v_all
						AND muster.edge_met(d.cond,
						p_states[d.o]) AS met
				FROM (SELECT x.need, x.task_id, x.cond, width_bucket(
						x.need, (SELECT p_needs || '{}')) AS o
					FROM muster.edge x
					WHERE x.need BETWEEN v_first AND v_last
					ORDER BY x.need, x.task_id LIMIT p_limit) d
			) e GROUP BY e.dep ORDER BY e.dep) g;
	END IF;
	IF v_walked = p_limit AND p_needs IS NOT NULL THEN
		SELECT coalesce(sum(g.n), 0), array_agg(g.task_id), array_agg(g.met),
			array_agg(g.n - g.met)
		INTO o_edges, v_dep, v_met, v_unmet
		FROM (SELECT e.task_id, count(*)::int AS n,
				count(*) FILTER (WHERE e.met)::int AS met
			FROM (
				SELECT d.task_id, muster.edge_met(d.cond,
					coalesce(n.state, 's')) AS met
				FROM unnest(p_needs, p_states, p_cursors)
					n(id, state, cursor)
				CROSS JOIN LATERAL (SELECT x.need, x.task_id, x.cond
					FROM muster.edge x WHERE x.need = n.id
					AND x.task_id > coalesce(n.cursor, 0)
					ORDER BY x.need, x.task_id LIMIT p_limit) d
				LIMIT p_limit
			) e GROUP BY e.task_id ORDER BY e.task_id) g;
	END IF;
	IF o_edges = p_limit THEN
		-- Which was the last: found anew, as that is rare.
		SELECT d.need, d.task_id INTO v_need, v_last
		FROM unnest(p_needs, p_cursors) n(id, cursor)
		CROSS JOIN LATERAL (SELECT x.need, x.task_id
			FROM muster.edge x WHERE x.need = n.id
			AND x.task_id > coalesce(n.cursor, 0)
			ORDER BY x.need, x.task_id LIMIT p_limit) d
		OFFSET p_limit - 1 LIMIT 1;
		INSERT INTO muster.remainder (task_id, flow_id, cursor, outcome)
		SELECT t.id, t.flow_id, CASE WHEN t.id = v_need THEN v_last
			ELSE coalesce(p_cursors[width_bucket(t.id, p_needs)], 0)
			END, t.state
		FROM muster.task t
		WHERE t.id = ANY (p_needs) AND t.id >= v_need;
		PERFORM muster.announce_work();
	END IF;
	IF v_dep IS NULL AND cardinality(p_soles) = 1 THEN
		v_dep := ARRAY[abs(p_soles[1])];
		v_met := '{1}';
		v_unmet := '{0}';
	ELSIF v_dep IS NULL AND p_soles IS NOT NULL THEN
		SELECT array_agg(g.dep), array_agg(g.met), array_agg(0)
		INTO v_dep, v_met, v_unmet
		FROM (SELECT e.dep, count(*)::int AS met
			FROM (SELECT abs(unnest(p_soles)) AS dep) e
			GROUP BY e.dep ORDER BY e.dep) g;
	ELSIF p_soles IS NOT NULL THEN
		SELECT array_agg(g.dep), array_agg(g.met), array_agg(g.unmet)
		INTO v_dep, v_met, v_unmet
		FROM (SELECT e.dep, sum(e.met)::int AS met,
				sum(e.unmet)::int AS unmet
			FROM (SELECT * FROM unnest(v_dep, v_met, v_unmet)
					u(dep, met, unmet)
				UNION ALL SELECT abs(unnest(p_soles)), 1, 0) e
			GROUP BY e.dep ORDER BY e.dep) g;
	END IF;
	IF v_dep IS NOT NULL THEN
		o_absent := muster.unblock(v_dep, v_met, v_unmet);
	END IF;
END
$$;

-- For each of p_dep (ascending): that many more of its needs are met and
-- unmet. At first those go to ready, in one step, that wait for nothing but what
-- is told here: need + spare is always the number of ends that are yet to be
-- told, so where spare is 0, and all of need comes from here, nobody else is
-- about to tell one, and wants the row (but unlock_again(), which gives way).
-- Then unblock_rest(). Gives those that may not be open: null if all of them are.
-- Locks: blocked; the first in order, then the others in order.
CREATE OR REPLACE FUNCTION muster.unblock(
	p_dep bigint[], p_met int[], p_unmet int[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	v_first CONSTANT bigint := p_dep[1];
	v_last CONSTANT bigint := p_dep[cardinality(p_dep)];
	v_gone bigint[];
	v_routes int[];
	v_counts int[];
	v_dep bigint[];
	v_met int[];
	v_unmet int[];
	v_done text; -- as in turn()
BEGIN
	IF v_last - v_first < 4 * cardinality(p_dep) THEN
		WITH gone AS (
			DELETE FROM muster.blocked b
			WHERE b.task_id BETWEEN v_first AND v_last
				AND p_dep[width_bucket(b.task_id,
					(SELECT p_dep || '{}'))] = b.task_id
				AND b.need <= p_met[width_bucket(b.task_id,
					(SELECT p_dep || '{}'))]
				AND b.spare = 0 AND b.run_at IS NULL
				AND b.lock_id IS NULL AND NOT b.mixed
			RETURNING b.task_id, b.route_id, b.size, b.rank, b.lane,
				b.ticket, b.n, b.first
		), freed AS (
			INSERT INTO muster.ready (seq, task_id, at, route_id,
				size, rank, lane, ticket, n)
			SELECT nextval('muster.ready_seq'),
				coalesce(g.first, g.task_id), now(), g.route_id,
				g.size, g.rank, g.lane, g.ticket, g.n
			FROM gone g
		)
		SELECT array_agg(g.task_id), array_agg(g.route_id),
			array_agg(g.n)
		INTO v_gone, v_routes, v_counts FROM gone g;
	ELSE
		WITH gone AS (
			DELETE FROM muster.blocked b
			WHERE b.task_id = ANY (p_dep)
				AND b.need <= p_met[width_bucket(b.task_id,
					(SELECT p_dep || '{}'))]
				AND b.spare = 0 AND b.run_at IS NULL
				AND b.lock_id IS NULL AND NOT b.mixed
			RETURNING b.task_id, b.route_id, b.size, b.rank, b.lane,
				b.ticket, b.n, b.first
		), freed AS (
			INSERT INTO muster.ready (seq, task_id, at, route_id,
				size, rank, lane, ticket, n)
			SELECT nextval('muster.ready_seq'),
				coalesce(g.first, g.task_id), now(), g.route_id,
				g.size, g.rank, g.lane, g.ticket, g.n
			FROM gone g
		)
		SELECT array_agg(g.task_id), array_agg(g.route_id),
			array_agg(g.n)
		INTO v_gone, v_routes, v_counts FROM gone g;
	END IF;
	v_done := muster.announce(v_routes, v_counts);
	IF v_gone IS NULL THEN
		RETURN muster.unblock_rest(p_dep, p_met, p_unmet);
	ELSIF cardinality(v_gone) < cardinality(p_dep) THEN
		SELECT array_agg(u.d), array_agg(u.m), array_agg(u.n)
		INTO v_dep, v_met, v_unmet
		FROM unnest(p_dep, p_met, p_unmet) u(d, m, n)
		WHERE (v_gone[width_bucket(u.d, (SELECT v_gone || '{}'))] = u.d)
			IS NOT TRUE;
		RETURN muster.unblock_rest(v_dep, v_met, v_unmet);
	END IF;
	RETURN NULL;
END
$$;

-- The same for what is left: those that wait for nothing more move on; those that
-- cannot run any more are left to unlock() as remainders, since the order of locks
-- forbids to touch their task here; of a set there is one, under its id, and its row
-- stays.
-- Locks: blocked, in order. A row that is locked keeps its ctid.
CREATE OR REPLACE FUNCTION muster.unblock_rest(
	p_dep bigint[], p_met int[], p_unmet int[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	v_free tid[];
	v_mixed tid[];
	v_dead tid[];
	v_sets bigint[];
	v_rest tid[];
	v_stand bigint[];
BEGIN
	SELECT array_agg(b.at) FILTER (WHERE b.free AND NOT b.mixed),
		array_agg(b.at) FILTER (WHERE b.free AND b.mixed),
		array_agg(b.at) FILTER (WHERE b.dead AND b.n = 1),
		array_agg(b.task_id) FILTER (WHERE b.dead AND b.n > 1
			AND b.spare >= 0),
		array_agg(b.at) FILTER (WHERE NOT b.free
			AND NOT (b.dead AND b.n = 1)),
		array_agg(b.task_id) FILTER (WHERE NOT b.mixed)
	INTO v_free, v_mixed, v_dead, v_sets, v_rest, v_stand
	FROM (
		SELECT l.*, l.spare < p_unmet[l.o] AS dead,
			l.spare >= p_unmet[l.o] AND l.need <= p_met[l.o] AS free
		FROM (SELECT x.ctid AS at, x.task_id, x.need, x.spare, x.n,
				x.mixed,
				width_bucket(x.task_id, (SELECT p_dep || '{}')) AS o
			FROM muster.blocked x WHERE x.task_id = ANY (p_dep)
			ORDER BY x.task_id FOR UPDATE) l
	) b;
	IF v_rest IS NOT NULL THEN
		UPDATE muster.blocked b SET need = b.need - p_met[
				width_bucket(b.task_id, (SELECT p_dep || '{}'))],
			spare = b.spare - p_unmet[
				width_bucket(b.task_id, (SELECT p_dep || '{}'))]
		WHERE b.ctid = ANY (v_rest);
	END IF;
	IF v_free IS NOT NULL THEN
		PERFORM muster.unblock_free(v_free);
	END IF;
	IF v_mixed IS NOT NULL THEN
		PERFORM muster.put_ready(muster.blocked_gone(v_mixed));
	END IF;
	IF v_dead IS NOT NULL THEN
		PERFORM muster.skip_later(muster.blocked_gone(v_dead));
	END IF;
	IF v_sets IS NOT NULL THEN
		INSERT INTO muster.remainder (task_id, outcome)
		SELECT u.id, 'k' FROM unnest(v_sets) u(id);
		PERFORM muster.announce_work();
	END IF;
	IF cardinality(v_stand) = cardinality(p_dep) THEN
		RETURN NULL;
	END IF;
	RETURN muster.without(p_dep, v_stand);
END
$$;

-- These tasks, which stand nowhere else any more, are to be skipped.
CREATE OR REPLACE FUNCTION muster.skip_later(p_ids bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO muster.remainder (task_id, flow_id, outcome)
	SELECT t.id, t.flow_id, 'k' FROM muster.task t WHERE t.id = ANY (p_ids);
	PERFORM muster.announce_work();
END
$$;

-- Removes these rows of blocked, locked by the caller; gives the tasks that stood
-- there, those of a set one by one.
CREATE OR REPLACE FUNCTION muster.blocked_gone(p_at tid[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	v_ids bigint[];
BEGIN
	WITH gone AS (
		DELETE FROM muster.blocked b WHERE b.ctid = ANY (p_at)
		RETURNING coalesce(b.first, b.task_id) AS first, b.n, b.ticket
	)
	SELECT array_agg(t.id ORDER BY t.id) INTO v_ids
	FROM gone g
	CROSS JOIN LATERAL (SELECT x.id FROM muster.task x
		WHERE x.id BETWEEN g.first AND g.first + g.n - 1
			AND x.ticket = g.ticket AND x.state IS NULL OFFSET 0) t;
	RETURN v_ids;
END
$$;

-- These rows of blocked, locked by the caller, wait for nothing more: to ready,
-- to scheduled if their time has not come, or for a slot of their key. None is
-- that of a mixed set.
CREATE OR REPLACE FUNCTION muster.unblock_free(p_at tid[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_routes int[];
	v_counts int[];
	v_later boolean;
	v_keyed bigint[];
BEGIN
	WITH gone AS (
		DELETE FROM muster.blocked b WHERE b.ctid = ANY (p_at)
		RETURNING b.*, coalesce(b.run_at > clock_timestamp(), false)
			AS later
	), later AS (
		INSERT INTO muster.scheduled
			(run_at, task_id, route_id, size, rank, lane, ticket,
			lock_id)
		SELECT g.run_at, g.task_id, g.route_id, g.size, g.rank, g.lane,
			g.ticket, g.lock_id FROM gone g WHERE g.later
	), freed AS (
		INSERT INTO muster.ready (seq, task_id, at, route_id, size, rank,
			lane, ticket, n)
		SELECT nextval('muster.ready_seq'), coalesce(g.first, g.task_id),
			now(), g.route_id, g.size, g.rank, g.lane, g.ticket, g.n
		FROM gone g WHERE NOT g.later AND g.lock_id IS NULL
		RETURNING route_id, n
	)
	SELECT f.*, k.later, k.keyed
	INTO v_routes, v_counts, v_later, v_keyed
	FROM (SELECT array_agg(x.route_id), array_agg(x.n) FROM freed x) f,
		(SELECT bool_or(g.later) AS later, array_agg(g.task_id)
			FILTER (WHERE NOT g.later AND g.lock_id IS NOT NULL) AS keyed
		FROM gone g) k;
	PERFORM muster.announce(v_routes, v_counts);
	IF v_keyed IS NOT NULL THEN
		PERFORM muster.lock_ask(v_keyed);
	END IF;
	IF v_later THEN
		PERFORM muster.announce_work();
	END IF;
END
$$;
