-- Retention.
-- What ends is noted in finished, and looked at when the shortest retention that
-- this host knows is over. What stays then, or is gone in part, goes to kept, with
-- the time when it is to be looked at again: that is the same for all hosts, whatever
-- queues they have. So nothing that stays is met twice, or hides what is behind it.

-- Removes ended tasks of the queues p_queues[i] that ended more than p_keep_ms[i]
-- ago; '' stands for all other queues, and what is not named is kept. A task that an
-- open one depends on stays, and so do those of an unfinished flow; a flow goes as a
-- whole, with the flows of its maps and nested flows, when the last of their tasks may
-- go. How much was done, p_limit at least if there is more, and not much more than
-- that; how many tasks are gone; and how long until there may be something (null:
-- never). Locks: kept, finished, flow, task; what others hold is stepped over.
CREATE OR REPLACE FUNCTION muster.purge(
	p_limit int, p_queues text[], p_keep_ms bigint[],
	OUT done int, OUT gone int, OUT next_in_ms bigint)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
	v_limit int := p_limit;
	v_due CONSTANT timestamptz := now()
		- (SELECT min(u.ms) FROM unnest(p_keep_ms) u(ms))
		* interval '1 ms';
	v_n int := 0;
	v_keeps record;
	v_kept record;
	v_row record;
	v_at tid[];
	v_ids bigint[];
	v_flows bigint[];
BEGIN
	PERFORM muster.check_isolation(), muster.sleepers_purge();
	done := CASE WHEN muster.purge_history(p_limit)
			OR muster.purge_runs(p_limit)
			OR muster.purge_unique(p_limit)
			OR muster.purge_locks(p_limit) THEN p_limit ELSE 0 END;
	gone := 0;
	IF v_due IS NULL THEN
		RETURN;
	END IF;
	v_keeps := muster.purge_keeps(p_queues, p_keep_ms);
	v_kept := muster.purge_kept(p_limit, v_keeps.o_routes, v_keeps.o_since);
	done := done + v_kept.o_done;
	gone := v_kept.o_gone;
	v_limit := greatest(p_limit - v_kept.o_done, (p_limit + 1) / 2);
	FOR v_row IN SELECT f.ctid AS at, coalesce(cardinality(f.ids), 10) AS n
			FROM muster.finished f
			WHERE f.at >= muster.time_mark('finished') AND f.at <= v_due
			ORDER BY f.at
			LIMIT v_limit FOR UPDATE SKIP LOCKED LOOP
		v_at := v_at || v_row.at;
		v_n := v_n + v_row.n;
		EXIT WHEN v_n >= v_limit;
	END LOOP;
	done := done + v_n;
	IF v_at IS NOT NULL THEN
		WITH taken AS (
			DELETE FROM muster.finished f WHERE f.ctid = ANY (v_at)
			RETURNING f.ids, f.flow_id
		)
		SELECT (SELECT array_agg(DISTINCT u.id ORDER BY u.id)
				FROM taken t CROSS JOIN LATERAL unnest(t.ids) u(id)),
			(SELECT array_agg(t.flow_id) FROM taken t
				WHERE t.flow_id IS NOT NULL)
		INTO v_ids, v_flows;
		IF v_ids IS NOT NULL THEN
			gone := gone + muster.purge_plain(v_ids,
				v_keeps.o_routes, v_keeps.o_since);
		END IF;
		IF v_flows IS NOT NULL THEN
			v_row := muster.purge_flows(v_flows, v_limit,
				v_keeps.o_routes, v_keeps.o_since);
			done := done + v_row.o_done;
			gone := gone + v_row.o_gone;
		END IF;
	END IF;
	next_in_ms := muster.purge_next(now() - v_due);
END
$$;

-- How long until something in the lists may be due; p_keep: the shortest retention.
CREATE OR REPLACE FUNCTION muster.purge_next(p_keep interval)
RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	RETURN ceil(extract(epoch FROM least(p_keep + coalesce(
			(SELECT f.at FROM muster.finished f
				WHERE f.at >= muster.time_mark('finished')
				ORDER BY f.at LIMIT 1), clock_timestamp()),
		(SELECT k.at FROM muster.kept k
			WHERE k.at >= muster.time_mark('kept')
			ORDER BY k.at LIMIT 1)) - clock_timestamp()) * 1000)::bigint;
END
$$;

-- Of each route, ascending, before when a task must have ended to go; null: never.
-- That of containers is later than now: they have no retention of their own.
CREATE OR REPLACE FUNCTION muster.purge_keeps(p_queues text[], p_keep_ms bigint[],
	OUT o_routes int[], OUT o_since timestamptz[])
LANGUAGE plpgsql AS $$
BEGIN
	SELECT coalesce(array_agg(r.id ORDER BY r.id), '{}'),
		array_agg(r.since ORDER BY r.id)
	INTO o_routes, o_since
	FROM (SELECT DISTINCT ON (x.id) x.id, CASE x.queue
			WHEN '-' THEN now() + interval '1 day'
			ELSE now() - p_keep_ms[coalesce(
				array_position(p_queues, x.queue),
				array_position(p_queues, ''))] * interval '1 ms'
			END AS since
		FROM muster.route x ORDER BY x.id) r;
END
$$;

-- When to look again at what stays: when its retention is over, or later if that is
-- not what holds it; if nobody here knows its queue, after as long as it is old.
CREATE OR REPLACE FUNCTION muster.purge_again(
	p_until timestamptz, p_ended timestamptz)
RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
	v_now CONSTANT timestamptz := clock_timestamp();
BEGIN
	RETURN CASE WHEN p_until > v_now THEN p_until
		WHEN p_until IS NULL THEN v_now + least(interval '1 day',
			greatest(v_now - p_ended, interval '10 min'))
		ELSE v_now + interval '10 min' END;
END
$$;

-- What was to be looked at again, and flows that are gone in part.
CREATE OR REPLACE FUNCTION muster.purge_kept(p_limit int, p_routes int[],
	p_since timestamptz[], OUT o_done int, OUT o_gone int)
LANGUAGE plpgsql AS $$
DECLARE
	v_left int := p_limit;
	v_row record;
	v_done record;
	v_at tid[];
	v_ids bigint[];
	v_flows bigint[];
BEGIN
	o_done := 0;
	o_gone := 0;
	FOR v_row IN SELECT k.ctid AS at, coalesce(cardinality(k.ids), 10) AS n
			FROM muster.kept k
			WHERE k.at >= muster.time_mark('kept') AND k.at <= now()
			ORDER BY k.at LIMIT p_limit FOR UPDATE SKIP LOCKED LOOP
		v_at := v_at || v_row.at;
		o_done := o_done + v_row.n;
		EXIT WHEN o_done >= p_limit;
	END LOOP;
	IF v_at IS NULL THEN
		RETURN;
	END IF;
	FOR v_row IN DELETE FROM muster.kept k WHERE k.ctid = ANY (v_at)
			RETURNING k.flow_id, k.ids, k.cursor, k.remains LOOP
		IF v_row.cursor IS NOT NULL THEN
			v_done := muster.purge_flow(v_row.flow_id, v_row.cursor,
				v_row.remains, v_left, p_routes, p_since);
			v_left := v_left - v_done.o_done;
			o_done := o_done + v_done.o_done;
			o_gone := o_gone + v_done.o_gone;
		ELSIF v_row.flow_id IS NOT NULL THEN
			v_flows := v_flows || v_row.flow_id;
		ELSE
			v_ids := v_ids || v_row.ids;
		END IF;
	END LOOP;
	IF v_ids IS NOT NULL THEN
		o_gone := o_gone + muster.purge_plain(ARRAY(
			SELECT DISTINCT u.id FROM unnest(v_ids) u(id) ORDER BY 1),
			p_routes, p_since);
	END IF;
	IF v_flows IS NOT NULL THEN
		v_done := muster.purge_flows(v_flows, v_left, p_routes, p_since);
		o_done := o_done + v_done.o_done;
		o_gone := o_gone + v_done.o_gone;
	END IF;
END
$$;

-- Tasks of no flow, ascending; how many are gone. Those that stay are noted by the
-- time when they may go, to about a 64th of their retention.
CREATE OR REPLACE FUNCTION muster.purge_plain(
	p_ids bigint[], p_routes int[], p_since timestamptz[])
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_gone CONSTANT bigint[] := muster.purge_tasks(p_ids, p_routes, p_since);
	v_others bigint[];
BEGIN
	IF cardinality(v_gone) < cardinality(p_ids) THEN
		v_others := muster.without(p_ids, v_gone);
		INSERT INTO muster.kept (at, ids)
		SELECT s.at, array_agg(s.id ORDER BY s.id)
		FROM (SELECT t.id, a.at, row_number() OVER (PARTITION BY a.at
				ORDER BY t.id) / 500 AS part
			FROM (SELECT x.id, x.finished_at, p_since[width_bucket(
					x.route_id, (SELECT p_routes || '{}'))] AS since
				FROM muster.task x
				WHERE x.id = ANY (v_others)
					AND x.state IS NOT NULL) t
			CROSS JOIN LATERAL (SELECT greatest(extract(
					epoch FROM now() - t.since) / 64, 1) AS s
				OFFSET 0) step
			CROSS JOIN LATERAL (SELECT to_timestamp(step.s * ceil(
				extract(epoch FROM muster.purge_again(
					t.finished_at + (now() - t.since),
					t.finished_at)) / step.s)) AS at
				OFFSET 0) a) s
		GROUP BY s.at, s.part;
	END IF;
	RETURN cardinality(v_gone);
END
$$;

-- Finished flows, as far as p_limit allows; how much was done, and how many tasks are
-- gone. Small ones are removed together, as long as no containers are in them.
CREATE OR REPLACE FUNCTION muster.purge_flows(p_flows bigint[], p_limit int,
	p_routes int[], p_since timestamptz[], OUT o_done int, OUT o_gone int)
LANGUAGE plpgsql AS $$
DECLARE
	v_held bigint[];
	v_others bigint[];
	v_small bigint[];
	v_large bigint[];
	v_done record;
	v_flow bigint;
BEGIN
	SELECT coalesce(sum(h.total) FILTER (WHERE h.small), 0), array_agg(h.id),
		array_agg(h.id) FILTER (WHERE h.small),
		array_agg(h.id) FILTER (WHERE NOT h.small)
	INTO o_done, v_held, v_small, v_large
	FROM (SELECT l.id, l.total, NOT l.purging AND sum(l.total) OVER (
				ORDER BY l.id ROWS UNBOUNDED PRECEDING) <= p_limit
			AS small
		FROM (SELECT f.id, f.total, f.purging FROM muster.flow f
			WHERE f.id = ANY (p_flows) AND f.finished_at IS NOT NULL
			ORDER BY f.id FOR NO KEY UPDATE SKIP LOCKED) l) h;
	o_gone := 0;
	IF cardinality(p_flows) > coalesce(cardinality(v_held), 0) THEN
		v_others := muster.without(p_flows, v_held);
		-- What runs again is noted when it ends.
		INSERT INTO muster.kept (at, flow_id)
		SELECT muster.purge_again(now(), now()), f.id FROM muster.flow f
		WHERE f.id = ANY (v_others) AND f.finished_at IS NOT NULL;
	END IF;
	IF v_small IS NOT NULL THEN
		v_done := muster.purge_small(v_small, p_routes, p_since);
		o_gone := v_done.o_gone;
		v_large := v_done.o_holding || v_large;
	END IF;
	FOREACH v_flow IN ARRAY coalesce(v_large, '{}') LOOP
		v_done := muster.purge_flow(v_flow, '{0}', false,
			p_limit - o_done, p_routes, p_since);
		o_done := o_done + v_done.o_done;
		o_gone := o_gone + v_done.o_gone;
	END LOOP;
END
$$;

-- Finished flows, locked, all at once; how many tasks are gone, and which of the flows
-- have containers and are left.
CREATE OR REPLACE FUNCTION muster.purge_small(p_flows bigint[], p_routes int[],
	p_since timestamptz[], OUT o_gone int, OUT o_holding bigint[])
LANGUAGE plpgsql AS $$
DECLARE
	v_due bigint[];
	v_early bigint[];
	v_at timestamptz[];
	v_ids bigint[];
	v_depended bigint[];
	v_stay bigint[];
	v_gone bigint[];
	v_parts bigint[];
BEGIN
	o_gone := 0;
	SELECT array_agg(s.id) FILTER (WHERE s.due AND NOT s.holds),
		array_agg(s.id) FILTER (WHERE s.due AND s.holds),
		array_agg(s.id) FILTER (WHERE NOT s.due),
		array_agg(s.at) FILTER (WHERE NOT s.due)
	INTO v_due, o_holding, v_early, v_at
	FROM (SELECT u.id,
			coalesce(bool_and((t.ended <= t.since) IS TRUE)
				FILTER (WHERE t.found), true) AS due,
			coalesce(bool_or(t.since > now()), false) AS holds,
			muster.purge_again(CASE WHEN bool_and(t.since IS NOT NULL)
				THEN max(t.ended + (now() - t.since)) END,
				max(t.ended)) AS at
		FROM unnest(p_flows) u(id)
		LEFT JOIN LATERAL (SELECT true AS found, x.finished_at AS ended,
				p_since[width_bucket(x.route_id,
				(SELECT p_routes || '{}'))] AS since
			FROM muster.task x WHERE x.flow_id = u.id
			OFFSET 0) t ON true
		GROUP BY u.id) s;
	IF v_early IS NOT NULL THEN
		INSERT INTO muster.kept (at, flow_id)
		SELECT u.at, u.id FROM unnest(v_early, v_at) u(id, at);
	END IF;
	IF v_due IS NULL THEN
		RETURN;
	END IF;
	SELECT coalesce(array_agg(t.id ORDER BY t.id), '{}'),
		array_agg(t.id) FILTER (WHERE t.has_dependents)
	INTO v_ids, v_depended
	FROM unnest(v_due) u(id)
	CROSS JOIN LATERAL (SELECT x.id, x.has_dependents
		FROM muster.task x WHERE x.flow_id = u.id OFFSET 0) t;
	v_stay := muster.purge_needed(v_ids, v_depended);
	IF v_stay <> '{}' THEN
		v_stay := ARRAY(SELECT DISTINCT t.flow_id FROM muster.task t
			WHERE t.id = ANY (v_stay));
		v_ids := ARRAY(SELECT t.id FROM muster.task t
			WHERE t.id = ANY (v_ids)
				AND (t.flow_id = ANY (v_stay)) IS NOT TRUE
			ORDER BY t.id);
	END IF;
	v_gone := muster.purge_tasks(v_ids);
	o_gone := cardinality(v_gone);
	IF o_gone < cardinality(v_ids) THEN
		v_ids := muster.without(v_ids, v_gone);
		v_parts := ARRAY(SELECT DISTINCT t.flow_id FROM muster.task t
			WHERE t.id = ANY (v_ids));
		UPDATE muster.flow f SET purging = true WHERE f.id = ANY (v_parts);
		v_stay := v_stay || v_parts;
	END IF;
	IF v_stay <> '{}' THEN
		INSERT INTO muster.kept (at, flow_id)
		SELECT muster.purge_again(now(), now()), unnest(v_stay);
		v_due := muster.without(v_due, v_stay);
	END IF;
	DELETE FROM muster.flow f WHERE f.id = ANY (v_due);
END
$$;

-- A finished flow, some p_limit tasks at a time: first looks at all of them, with those
-- of its maps and nested flows, whether they may go, then removes them. p_cursor says
-- how far it is: after which task, in it and in each flow inside in which it is just
-- now; the flow of a container comes before that. Something p_remains.
CREATE OR REPLACE FUNCTION muster.purge_flow(p_flow bigint, p_cursor bigint[],
	p_remains boolean, p_limit int, p_routes int[], p_since timestamptz[],
	OUT o_done int, OUT o_gone int)
LANGUAGE plpgsql AS $$
DECLARE
	v_cursor bigint[] := p_cursor;
	v_remains boolean := p_remains;
	v_flow muster.flow;
	v_inside bigint;
	v_depth int;
	v_ids bigint[];
	v_gone bigint[];
	v_holder bigint;
	v_at timestamptz;
BEGIN
	o_done := 0;
	o_gone := 0;
	SELECT * INTO v_flow FROM muster.flow f WHERE f.id = p_flow
	FOR NO KEY UPDATE SKIP LOCKED;
	IF NOT FOUND THEN
		INSERT INTO muster.kept (at, flow_id)
		SELECT muster.purge_again(now(), now()), f.id
		FROM muster.flow f WHERE f.id = p_flow;
		RETURN;
	ELSIF v_flow.finished_at IS NULL THEN
		RETURN; -- runs again: it is noted when it ends
	END IF;
	WHILE o_done < p_limit LOOP
		v_depth := cardinality(v_cursor);
		v_inside := CASE v_depth WHEN 1 THEN p_flow ELSE (SELECT p.flow_id
			FROM muster.container_plan p
			WHERE p.task_id = v_cursor[v_depth - 1]) END;
		v_ids := ARRAY(SELECT t.id FROM muster.task t
			WHERE t.flow_id = v_inside AND t.id > v_cursor[v_depth]
			ORDER BY t.id LIMIT p_limit - o_done);
		v_holder := (SELECT p.task_id FROM muster.container_plan p
			WHERE p.task_id BETWEEN v_ids[1] AND v_ids[cardinality(v_ids)]
				AND p.task_id = ANY (v_ids) AND p.flow_id IS NOT NULL
			ORDER BY p.task_id LIMIT 1);
		o_done := o_done + cardinality(v_ids) + 5;
		IF v_holder IS NOT NULL THEN
			v_cursor := v_cursor[: v_depth - 1] || v_holder || 0::bigint;
			v_ids := v_ids[: array_position(v_ids, v_holder) - 1];
		ELSIF v_ids <> '{}' THEN
			v_cursor[v_depth] := v_ids[cardinality(v_ids)];
		ELSIF v_depth > 1 THEN
			v_cursor := v_cursor[: v_depth - 1];
			v_ids := v_cursor[v_depth - 1 :];
			IF v_flow.purging AND NOT muster.purge_empty(v_inside) THEN
				v_remains := true;
				CONTINUE;
			END IF;
		ELSIF v_flow.purging THEN
			IF v_remains OR NOT muster.purge_empty(p_flow) THEN
				INSERT INTO muster.kept (at, flow_id) VALUES
					(muster.purge_again(now(), now()), p_flow);
			END IF;
			RETURN;
		ELSE
			UPDATE muster.flow f SET purging = true WHERE f.id = p_flow;
			v_flow.purging := true;
			v_cursor := '{0}';
			CONTINUE;
		END IF;
		IF v_flow.purging THEN
			v_gone := muster.purge_tasks(v_ids, p_routes, p_since);
			o_gone := o_gone + cardinality(v_gone);
			v_remains := v_remains
				OR cardinality(v_gone) < cardinality(v_ids);
			IF v_holder IS NOT NULL
					AND NOT muster.purge_inside(v_holder) THEN
				v_cursor := v_cursor[: v_depth];
				v_remains := true;
			END IF;
		ELSE
			v_at := muster.purge_stays(v_ids, p_routes, p_since);
			IF v_at IS NOT NULL THEN
				INSERT INTO muster.kept (at, flow_id)
				VALUES (v_at, p_flow);
				RETURN;
			END IF;
		END IF;
	END LOOP;
	INSERT INTO muster.kept (at, flow_id, cursor, remains)
	VALUES (clock_timestamp(), p_flow, nullif(v_cursor, '{0}'), v_remains);
END
$$;

-- Removes this flow if no task of it is left; whether it is gone.
CREATE OR REPLACE FUNCTION muster.purge_empty(p_flow bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM muster.flow f WHERE f.id = ANY (ARRAY(
		SELECT x.id FROM muster.flow x
		WHERE x.id = p_flow AND NOT EXISTS (SELECT FROM muster.task t
			WHERE t.flow_id = p_flow)
		FOR UPDATE SKIP LOCKED));
	RETURN NOT EXISTS (SELECT FROM muster.flow f WHERE f.id = p_flow);
END
$$;

-- The flow of this container is about to be removed, unless it is held, or runs again.
CREATE OR REPLACE FUNCTION muster.purge_inside(p_task bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	UPDATE muster.flow f SET purging = true
	WHERE f.id = ANY (ARRAY(SELECT x.id FROM muster.flow x
		WHERE x.id = (SELECT p.flow_id FROM muster.container_plan p
				WHERE p.task_id = p_task)
			AND x.finished_at IS NOT NULL
		FOR NO KEY UPDATE SKIP LOCKED));
	RETURN FOUND;
END
$$;

-- When to look again at the flow of these tasks, ascending; null: they may go.
CREATE OR REPLACE FUNCTION muster.purge_stays(
	p_ids bigint[], p_routes int[], p_since timestamptz[])
RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
	v_found record;
BEGIN
	SELECT bool_and((t.ended <= t.since) IS TRUE) AS due,
		bool_and(t.since IS NOT NULL) AS known, max(t.ended) AS ended,
		max(t.ended + (now() - t.since)) AS until,
		array_agg(t.id) FILTER (WHERE t.has_dependents) AS depended
	INTO v_found
	FROM (SELECT x.id, x.has_dependents, x.finished_at AS ended,
			p_since[width_bucket(x.route_id,
				(SELECT p_routes || '{}'))] AS since
		FROM muster.task x WHERE x.id = ANY (p_ids)) t;
	IF v_found.due IS FALSE OR muster.purge_needed(p_ids, v_found.depended)
			<> '{}' THEN
		RETURN muster.purge_again(CASE WHEN v_found.known
			THEN v_found.until END, v_found.ended);
	END IF;
	RETURN NULL;
END
$$;

-- Which of these tasks, ascending, have yet to tell of their end.
CREATE OR REPLACE FUNCTION muster.purge_telling(p_ids bigint[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
BEGIN
	RETURN ARRAY(SELECT r.task_id FROM muster.remainder r
		WHERE r.task_id BETWEEN p_ids[1] AND p_ids[cardinality(p_ids)]
			AND r.task_id = ANY (p_ids));
END
$$;

-- Which of these tasks, that have ended, something open needs, or is about to look at,
-- or have yet to tell of their end. Ascending; p_depended: those that have dependents.
CREATE OR REPLACE FUNCTION muster.purge_needed(
	p_ids bigint[], p_depended bigint[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	v_needed bigint[];
BEGIN
	v_needed := muster.purge_telling(p_ids) || ARRAY(SELECT u.id
		FROM muster.placing p
		CROSS JOIN LATERAL (SELECT x.ids FROM muster.needs x
			WHERE x.task_id = p.task_id OFFSET 0) n
		CROSS JOIN LATERAL unnest(n.ids[p.placed + 1 :]) u(id)
		WHERE p.seq >= muster.list_mark('arriving')
			AND u.id = ANY (p_ids));
	IF p_depended IS NULL THEN
		RETURN v_needed;
	END IF;
	RETURN v_needed || ARRAY(SELECT DISTINCT u.id
		FROM unnest(p_depended) u(id)
		CROSS JOIN LATERAL (SELECT x.task_id FROM muster.edge x
			WHERE x.need = u.id
			AND p_ids[width_bucket(x.task_id, (SELECT p_ids || '{}'))]
				IS DISTINCT FROM x.task_id
			OFFSET 0) e
		CROSS JOIN LATERAL (SELECT FROM muster.task d
			WHERE d.id = e.task_id AND d.state IS NULL OFFSET 0) d);
END
$$;

-- Removes ended tasks and all that hangs on them; gives those, ascending. If p_routes
-- is given, only those whose retention is over and that nothing open needs.
CREATE OR REPLACE FUNCTION muster.purge_tasks(p_ids bigint[],
	p_routes int[] DEFAULT NULL, p_since timestamptz[] DEFAULT NULL)
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	v_first CONSTANT bigint := p_ids[1];
	v_last CONSTANT bigint := p_ids[cardinality(p_ids)];
	v_ids bigint[];
	v_at tid[];
	v_needy bigint[];
	v_depended bigint[];
	v_stay bigint[];
	v_need bigint[];
	v_dep bigint[];
	v_set bigint[];
BEGIN
	SELECT array_agg(l.id), array_agg(l.ctid),
		array_agg(l.id) FILTER (WHERE l.has_needs),
		array_agg(l.id) FILTER (WHERE l.has_dependents)
	INTO v_ids, v_at, v_needy, v_depended
	FROM (SELECT t.id, t.ctid, t.has_needs, t.has_dependents
		FROM muster.task t
		WHERE t.id = ANY (p_ids) AND t.state IS NOT NULL
			AND (p_routes IS NULL OR t.finished_at <= p_since[
				width_bucket(t.route_id, (SELECT p_routes || '{}'))])
		ORDER BY t.id FOR UPDATE SKIP LOCKED) l;
	IF v_ids IS NULL THEN
		RETURN '{}';
	END IF;
	-- Among them what was retried and has ended again since the caller looked.
	v_stay := CASE WHEN p_routes IS NOT NULL
		THEN muster.purge_needed(v_ids, v_depended)
		ELSE muster.purge_telling(v_ids) END;
	IF v_stay <> '{}' THEN
		SELECT array_agg(u.id ORDER BY u.id), array_agg(u.at ORDER BY u.id)
		INTO v_ids, v_at FROM unnest(v_ids, v_at) u(id, at)
		WHERE (u.id = ANY (v_stay)) IS NOT TRUE;
		v_needy := muster.without(v_needy, v_stay);
		v_depended := muster.without(v_depended, v_stay);
	END IF;
	IF v_needy IS NOT NULL THEN
		-- The edges to those go with the needs that go, too; the others singly,
		-- those to a set with its last member.
		SELECT array_agg(u.need), array_agg(n.task_id), array_agg(m.set_id)
		INTO v_need, v_dep, v_set
		FROM muster.needs n
		CROSS JOIN LATERAL unnest(n.ids) u(need)
		CROSS JOIN LATERAL (SELECT t.set_id FROM muster.task t
			WHERE t.id = n.task_id OFFSET 0) m
		WHERE n.task_id = ANY (v_needy)
			AND (u.need IN (SELECT unnest(v_ids))) IS NOT TRUE;
		v_set := ARRAY(SELECT CASE
				WHEN muster.set_members(ARRAY[u.set]) <@ v_ids
				THEN u.set END
			FROM unnest(v_set) WITH ORDINALITY u(set, o) ORDER BY u.o);
		DELETE FROM muster.edge e WHERE e.ctid = ANY (ARRAY(
			SELECT x.at FROM unnest(v_need, v_dep, v_set) u(need, dep, set)
			CROSS JOIN LATERAL (SELECT y.ctid AS at FROM muster.edge y
				WHERE y.need = u.need AND y.task_id IN (u.dep, u.set)
				OFFSET 0) x));
		DELETE FROM muster.needs n WHERE n.task_id = ANY (v_needy);
	END IF;
	IF v_depended IS NOT NULL THEN
		DELETE FROM muster.edge e WHERE e.need = ANY (v_depended);
	END IF;
	IF EXISTS (SELECT FROM muster.attempt a
			WHERE a.task_id BETWEEN v_first AND v_last) THEN
		DELETE FROM muster.attempt a WHERE a.task_id = ANY (v_ids);
	END IF;
	IF EXISTS (SELECT FROM muster.container_plan p
			WHERE p.task_id BETWEEN v_first AND v_last) THEN
		DELETE FROM muster.container_plan p WHERE p.task_id = ANY (v_ids);
		DELETE FROM muster.map_page g WHERE g.task_id = ANY (v_ids);
	END IF;
	DELETE FROM muster.task t WHERE t.ctid = ANY (v_at);
	RETURN coalesce(v_ids, '{}');
END
$$;

-- One task on request. One that waits is cancelled first and, since its
-- dependents are told of that by unlock(), removed by a later call.
CREATE OR REPLACE FUNCTION muster.do_delete(
	p_request muster.request, p_alone boolean)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_id CONSTANT bigint := p_request.target;
	v_task muster.task;
	v_gone bigint[];
	v_told bigint[];
BEGIN
	SELECT * INTO v_task FROM muster.task t
	WHERE t.id = v_id FOR UPDATE SKIP LOCKED;
	IF NOT FOUND THEN
		IF EXISTS (SELECT FROM muster.task t WHERE t.id = v_id) THEN
			RETURN 0;
		END IF;
		RETURN muster.answer(p_request.id, 'refused',
			format('there is no task %s', v_id));
	ELSIF v_task.state IS NULL THEN
		SELECT c.o_gone, c.o_told INTO v_gone, v_told
		FROM muster.cancel_tasks(ARRAY[v_id],
			'deleted on request of ' || p_request.asked_by, p_alone) c;
		IF v_told IS NOT NULL THEN
			RETURN muster.answer(p_request.id, 'refused', format('task '
				'%s is running; its worker was told to cancel it: '
				'delete it when it has ended', v_id));
		ELSIF v_gone IS NULL THEN
			RETURN 0;
		END IF;
		v_task.state := 'c';
		v_task.flow_id := (SELECT t.flow_id FROM muster.task t
			WHERE t.id = v_id); -- what came too late has left it
	END IF;
	IF NOT muster.set_drop(v_task.set_id, v_id)
			OR muster.purge_tasks(ARRAY[v_id]) = '{}' THEN
		RETURN 0; -- its dependents are still being told
	END IF;
	INSERT INTO muster.flow_delta
		(flow_id, total, succeeded, failed, cancelled, skipped, recount)
	SELECT f.id, -1, -(v_task.state = 's'
			AND (v_task.sole < 0) IS NOT TRUE)::int,
		-(v_task.state = 'f')::int, -(v_task.state = 'c')::int,
		-(v_task.state = 'k')::int, true
	FROM muster.flow f WHERE f.id = v_task.flow_id AND NOT f.purging;
	RETURN muster.answer(p_request.id, 'done',
		format('task %s is deleted', v_id));
END
$$;

-- Where the task is the last of its set (null: it is of none) nothing waits there
-- any more. False if somebody else holds the set's row.
CREATE OR REPLACE FUNCTION muster.set_drop(p_set bigint, p_id bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF p_set IS NULL OR muster.set_members(ARRAY[p_set]) <> ARRAY[p_id] THEN
		RETURN true;
	END IF;
	DELETE FROM muster.blocked b WHERE b.ctid = ANY (ARRAY(
		SELECT x.ctid FROM muster.blocked x WHERE x.task_id = p_set
		FOR UPDATE SKIP LOCKED));
	RETURN NOT EXISTS (SELECT FROM muster.blocked b
		WHERE b.task_id = p_set);
END
$$;

-- Answers that nobody fetched for a day, workers that are dead as long: one
-- that is absent is as good as dead to a worker that thaws.
CREATE OR REPLACE FUNCTION muster.purge_history(p_limit int)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	v_requests int;
	v_workers int;
BEGIN
	DELETE FROM muster.request r WHERE r.ctid = ANY (ARRAY(
		SELECT x.ctid FROM muster.request x
		WHERE x.done_at < now() - interval '1 day'
		ORDER BY x.done_at LIMIT p_limit FOR UPDATE SKIP LOCKED));
	GET DIAGNOSTICS v_requests = ROW_COUNT;
	DELETE FROM muster.worker w WHERE w.id = ANY (ARRAY(
		SELECT x.id FROM muster.worker x
		WHERE x.dead_at < now() - interval '1 day' AND NOT EXISTS (
			SELECT FROM muster.lease l WHERE l.worker_id = x.id)
		LIMIT p_limit FOR UPDATE SKIP LOCKED));
	GET DIAGNOSTICS v_workers = ROW_COUNT;
	RETURN greatest(v_requests, v_workers) = p_limit;
END
$$;
