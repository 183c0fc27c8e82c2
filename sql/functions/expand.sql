-- Expanding: containers that are ready get their flow, and maps their items, a
-- piece at a time. The scheduler does it; no worker knows a container.

-- Creates up to about p_limit tasks; how much was done. One at a time in the
-- database.
-- Locks: out carry_out() for what is taken from the line, as a turn; then the
-- containers' tasks, in order, and their flows, in order. A cancel steps over
-- the former, and marks the latter as stopped before it looks for tasks: what
-- is created here is seen by it, or is not created any more.
CREATE OR REPLACE FUNCTION muster.expand(p_limit int)
RETURNS int LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
	v_ids bigint[];
	v_left int := p_limit;
	v_done int;
BEGIN
	PERFORM muster.check_isolation();
	IF NOT pg_try_advisory_xact_lock(hashtext('muster expand')) THEN
		RETURN 0;
	END IF;
	v_done := muster.expand_take(p_limit);
	WITH gone AS (
		DELETE FROM muster.expansion e WHERE e.id = ANY (ARRAY(
			SELECT x.id FROM muster.expansion x
			WHERE x.id >= muster.list_mark('expansion')
			ORDER BY x.id LIMIT 200))
		RETURNING e.task_id
	)
	SELECT array_agg(g.task_id) INTO v_ids FROM gone g;
	IF v_ids IS NULL THEN
		RETURN v_done;
	END IF;
	v_ids := ARRAY(SELECT l.id FROM (SELECT t.id, t.state FROM muster.task t
			WHERE t.id = ANY (v_ids) ORDER BY t.id FOR NO KEY UPDATE) l
		WHERE l.state IS NULL ORDER BY l.id);
	PERFORM FROM (SELECT FROM muster.flow f WHERE f.id = ANY (ARRAY(
			SELECT p.flow_id FROM muster.container_plan p
			WHERE p.task_id = ANY (v_ids)))
		ORDER BY f.id FOR NO KEY UPDATE) l;
	FOR i IN 1 .. cardinality(v_ids) LOOP
		IF v_left <= 0 THEN
			PERFORM muster.expand_later(v_ids[i]);
			CONTINUE;
		END IF;
		v_left := v_left - muster.expand_one(v_ids[i],
			greatest(v_left / (cardinality(v_ids) - i + 1), 1));
	END LOOP;
	RETURN v_done + p_limit - v_left;
END
$$;

-- There is something to create for this container.
CREATE OR REPLACE FUNCTION muster.expand_later(p_task bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO muster.expansion (task_id) VALUES (p_task);
	PERFORM muster.announce_work();
END
$$;

-- Containers at the head of their lines change their place; how many.
CREATE OR REPLACE FUNCTION muster.expand_take(p_limit int)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_routes int[] := ARRAY(SELECT DISTINCT r.id FROM muster.route r
		WHERE r.queue = '-');
	v_hit record;
BEGIN
	IF v_routes = '{}' THEN
		RETURN 0;
	END IF;
	PERFORM pg_advisory_xact_lock_shared(hashtext('muster turn'));
	SELECT c.o_task, c.o_ticket INTO v_hit FROM muster.claim(v_routes,
		array_fill(p_limit, ARRAY[cardinality(v_routes)]), p_limit,
		1000000000, '{}', '{}', '{}', '{}') c;
	IF v_hit.o_task IS NULL THEN
		RETURN 0;
	END IF;
	WITH put AS (
		INSERT INTO muster.container (task_id)
		SELECT t.id FROM muster.task t
		WHERE t.id = ANY (v_hit.o_task) AND t.state IS NULL
			AND t.ticket = v_hit.o_ticket[
				width_bucket(t.id, v_hit.o_task)]
		RETURNING task_id
	)
	INSERT INTO muster.expansion (task_id)
	SELECT p.task_id FROM put p ORDER BY p.task_id;
	RETURN cardinality(v_hit.o_task);
END
$$;

-- One container, locked with its flow; how much was done.
CREATE OR REPLACE FUNCTION muster.expand_one(p_task bigint, p_limit int)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_place muster.container;
	v_plan muster.container_plan;
	v_opened boolean;
BEGIN
	SELECT * INTO v_place FROM muster.container c
	WHERE c.task_id = p_task;
	IF NOT FOUND THEN
		RETURN 0; -- it has ended, and was brought back, since it was noted
	END IF;
	SELECT * INTO v_plan FROM muster.container_plan p
	WHERE p.task_id = p_task;
	IF v_place.flow_id IS NULL THEN
		IF v_plan.flow_id IS NOT NULL THEN
			RETURN muster.container_again(v_plan);
		END IF;
		v_opened := muster.container_open(v_plan);
		IF v_opened IS NULL THEN
			INSERT INTO muster.expansion (task_id) VALUES (p_task);
			RETURN 0;
		ELSIF NOT v_opened THEN
			RETURN 1;
		END IF;
		SELECT * INTO v_plan FROM muster.container_plan p
		WHERE p.task_id = p_task;
		UPDATE muster.container c SET flow_id = v_plan.flow_id
		WHERE c.task_id = p_task;
		IF v_plan.spec IS NOT NULL THEN
			RETURN v_plan.total;
		END IF;
	ELSIF v_place.cancelled IS NOT NULL OR (SELECT f.stopped
			FROM muster.flow f WHERE f.id = v_plan.flow_id) THEN
		RETURN muster.container_close(v_plan);
	END IF;
	RETURN muster.map_create(v_plan, p_limit);
END
$$;

-- The first time: makes the flow. False if the container has ended by that: its
-- list is empty or none, or something in its nested flow cannot be stored, or a
-- unique key there is held. Null: some client is just taking such a key, so this is
-- to be tried again.
CREATE OR REPLACE FUNCTION muster.container_open(p_plan muster.container_plan)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	v_task muster.task;
	v_flow bigint;
	v_items int := p_plan.items;
	v_total int;
	v_list jsonb;
	v_error text;
BEGIN
	SELECT * INTO v_task FROM muster.task t WHERE t.id = p_plan.task_id;
	IF p_plan.spec IS NOT NULL THEN
		v_flow := muster.flow_submit(p_plan.spec, v_task);
		UPDATE muster.flow f SET parent_task = p_plan.task_id
		WHERE f.id = v_flow RETURNING f.total INTO v_total;
		UPDATE muster.container_plan p SET flow_id = v_flow,
			total = v_total, created = v_total, counted = v_total
		WHERE p.task_id = p_plan.task_id;
		RETURN true;
	ELSIF p_plan.from_task IS NOT NULL THEN
		v_list := muster.map_list(p_plan.from_task);
		IF jsonb_typeof(v_list) IS DISTINCT FROM 'array' THEN
			PERFORM muster.container_end(p_plan.task_id, 'f', NULL,
				muster.map_no_list(p_plan.from_task));
			RETURN false;
		END IF;
		v_items := jsonb_array_length(v_list);
	END IF;
	IF v_items = 0 THEN
		PERFORM muster.container_end(p_plan.task_id, 's', '[]', NULL);
		RETURN false;
	END IF;
	v_total := ceil(v_items::numeric / coalesce(p_plan.chunk, 1));
	v_flow := nextval('muster.flow_id');
	INSERT INTO muster.flow (id, created_at, total, fail_fast, name,
		parent_task)
	VALUES (v_flow, clock_timestamp(), v_total, p_plan.fail_fast,
		v_task.name, p_plan.task_id);
	UPDATE muster.container_plan p SET flow_id = v_flow, items = v_items,
		total = v_total, counted = v_total
	WHERE p.task_id = p_plan.task_id;
	PERFORM muster.lane_open(p_plan.route_id, v_task.rank, v_task.lane);
	RETURN true;
EXCEPTION WHEN SQLSTATE 'MU003' OR SQLSTATE 'MU006' THEN
	GET STACKED DIAGNOSTICS v_error = MESSAGE_TEXT;
	PERFORM muster.container_end(p_plan.task_id, 'f', NULL, v_error);
	RETURN false;
WHEN lock_not_available THEN
	RETURN NULL;
END
$$;

-- The result of this task, unpacked once.
CREATE OR REPLACE FUNCTION muster.map_list(p_task bigint)
RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT t.result #> '{}' FROM muster.task t WHERE t.id = p_task);
END
$$;

-- Why a map cannot be expanded.
CREATE OR REPLACE FUNCTION muster.map_no_list(p_task bigint)
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT CASE WHEN t.state = 's' THEN format(
			'the result of %s is no list to map over, but %s',
			to_json(coalesce(t.name, t.id::text)),
			coalesce(nullif(jsonb_typeof(t.result), 'object'),
				CASE WHEN t.result IS NULL THEN 'null'
				ELSE 'an object' END))
		ELSE format('%s, whose result is to be mapped over, %s',
			to_json(coalesce(t.name, t.id::text)),
			CASE t.state WHEN 'f' THEN 'failed'
				WHEN 'c' THEN 'was cancelled'
				WHEN 'k' THEN 'was skipped'
				ELSE 'has not ended' END) END
		FROM muster.task t WHERE t.id = p_task);
END
$$;

-- The container runs again, in the flow that it has: what failed there comes
-- back, and what was still to be created is created.
CREATE OR REPLACE FUNCTION muster.container_again(p_plan muster.container_plan)
RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	UPDATE muster.container c SET flow_id = p_plan.flow_id
	WHERE c.task_id = p_plan.task_id;
	UPDATE muster.flow f SET stopped = false
	WHERE f.id = p_plan.flow_id AND f.stopped;
	IF p_plan.counted < p_plan.total THEN
		INSERT INTO muster.flow_delta (flow_id, total)
		VALUES (p_plan.flow_id, p_plan.total - p_plan.counted);
		UPDATE muster.container_plan p SET counted = p.total
		WHERE p.task_id = p_plan.task_id;
		PERFORM muster.expand_later(p_plan.task_id);
	END IF;
	INSERT INTO muster.request (verb, target)
	VALUES ('reopen', p_plan.flow_id);
	PERFORM muster.announce_work();
	RETURN 1;
END
$$;

-- Its flow was stopped: what was not created will not be, and its flow does not
-- wait for it.
CREATE OR REPLACE FUNCTION muster.container_close(p_plan muster.container_plan)
RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	IF p_plan.counted > p_plan.created THEN
		INSERT INTO muster.flow_delta (flow_id, total)
		VALUES (p_plan.flow_id, p_plan.created - p_plan.counted);
		UPDATE muster.container_plan p SET counted = p.created
		WHERE p.task_id = p_plan.task_id;
	END IF;
	RETURN 1;
END
$$;

-- How many of a map's tasks may be opened now; null: any number.
CREATE OR REPLACE FUNCTION muster.map_room(p_plan muster.container_plan)
RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	RETURN p_plan.max_running + p_plan.counted - p_plan.created - (
		SELECT f.total - f.succeeded - f.failed - f.cancelled - f.skipped
			+ coalesce((SELECT sum(d.total - d.succeeded - d.failed
				- d.cancelled - d.skipped)
			FROM muster.flow_delta d WHERE d.flow_id = f.id), 0)
		FROM muster.flow f WHERE f.id = p_plan.flow_id);
END
$$;

-- The next tasks of a map, as many as p_limit, its window and its kept items
-- allow; about p_limit items are looked at. How much was done.
CREATE OR REPLACE FUNCTION muster.map_create(
	p_plan muster.container_plan, p_limit int)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_chunk CONSTANT int := coalesce(p_plan.chunk, 1);
	v_room CONSTANT int := coalesce(muster.map_room(p_plan), p_limit);
	v_count int := least(p_plan.total - p_plan.created, v_room,
		greatest(p_limit / v_chunk, 1));
	v_paged int := p_plan.paged;
	v_first CONSTANT int := p_plan.created;
	v_last int; -- the end of the items
	v_ids bigint[];
BEGIN
	IF v_count <= 0 THEN
		RETURN 0; -- fold() notes when there is room again
	END IF;
	v_last := least((v_first + v_count)::bigint * v_chunk, p_plan.items);
	IF v_paged < v_last THEN
		v_paged := muster.map_read(p_plan);
		IF v_paged < v_last THEN -- whole chunks only
			v_count := v_paged / v_chunk - v_first;
			v_last := (v_first + v_count) * v_chunk;
		END IF;
	END IF;
	IF v_count > 0 THEN
		v_ids := ARRAY(SELECT nextval('muster.task_id')
			FROM generate_series(1, v_count));
		PERFORM muster.map_store(p_plan, v_ids, v_last);
		PERFORM muster.map_ready(p_plan.route_id, v_ids);
		UPDATE muster.container_plan p SET created = v_first + v_count
		WHERE p.task_id = p_plan.task_id;
	END IF;
	IF v_first + v_count < p_plan.total AND (p_plan.max_running IS NULL
			OR v_count < v_room) THEN
		PERFORM muster.expand_later(p_plan.task_id);
	END IF;
	RETURN greatest(v_count * v_chunk, 1);
END
$$;

-- Keeps the next items of the result that is mapped over; up to which it then
-- has them. The whole list is unpacked for it, so it is a twentieth at least.
CREATE OR REPLACE FUNCTION muster.map_read(p_plan muster.container_plan)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_count int := greatest(p_plan.items / 20, 5000);
BEGIN
	v_count := least(p_plan.items - p_plan.paged,
		v_count - v_count % 200);
	PERFORM muster.map_keep(p_plan.task_id,
		muster.map_list(p_plan.from_task), p_plan.paged, v_count);
	RETURN p_plan.paged + v_count;
END
$$;

-- The tasks p_ids, of the kept items up to p_last.
CREATE OR REPLACE FUNCTION muster.map_store(
	p_plan muster.container_plan, p_ids bigint[], p_last int)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_chunk CONSTANT int := coalesce(p_plan.chunk, 1);
	v_first CONSTANT int := p_plan.created * v_chunk;
	v_map muster.task;
	v_base jsonb;
BEGIN
	SELECT * INTO v_map FROM muster.task t WHERE t.id = p_plan.task_id;
	v_base := v_map.payload::jsonb;
	INSERT INTO muster.task (id, flow_id, created_at, timeout_ms, route_id,
		size, max_attempts, rank, lane, fail_fast, name, payload)
	SELECT p_ids[c.n - p_plan.created + 1], p_plan.flow_id,
		clock_timestamp(), v_map.timeout_ms, p_plan.route_id,
		octet_length(c.payload), v_map.max_attempts, v_map.rank,
		v_map.lane, p_plan.fail_fast, format('[%s]', c.n * v_chunk),
		c.payload
	FROM (
		SELECT i.n, (v_base || CASE WHEN p_plan.chunk IS NULL
			THEN jsonb_build_object('index', min(i.index),
				'item', (array_agg(i.item))[1])
			ELSE jsonb_build_object('index', min(i.index),
				'items', jsonb_agg(i.item ORDER BY i.index))
			END)::text AS payload
		FROM (
			SELECT (g.page * 200 + u.o - 1)::int AS index, u.item,
				(g.page * 200 + u.o - 1)::int / v_chunk AS n
			FROM muster.map_page g
			CROSS JOIN LATERAL unnest(g.items)
				WITH ORDINALITY u(item, o)
			WHERE g.task_id = p_plan.task_id
				AND g.page BETWEEN v_first / 200
					AND (p_last - 1) / 200
		) i
		WHERE i.index >= v_first AND i.index < p_last
		GROUP BY i.n
	) c;
	DELETE FROM muster.map_page g WHERE g.task_id = p_plan.task_id
		AND g.page >= v_first / 200 AND g.page < p_last / 200;
END
$$;

-- These tasks of a map (ascending) are ready: a row for up to 16 whose numbers follow
-- one another, unless some are so large that a sum could leave the range of size.
CREATE OR REPLACE FUNCTION muster.map_ready(p_route int, p_ids bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO muster.ready (seq, task_id, at, route_id, size, rank, lane,
		ticket, n)
	SELECT nextval('muster.ready_seq'), s.*
	FROM (SELECT min(t.id), now(), p_route, max(t.size) * count(*),
			min(t.rank), min(t.lane), 0, count(*)
		FROM (SELECT x.id, x.size, x.rank, x.lane,
				row_number() OVER w AS o,
				max(x.size) OVER () AS most
			FROM muster.task x WHERE x.id = ANY (p_ids)
			WINDOW w AS (ORDER BY x.id)) t
		GROUP BY t.id - t.o,
			t.o / CASE WHEN t.most <= 65536 THEN 16 ELSE 1 END
		ORDER BY min(t.id)) s;
	PERFORM muster.announce(ARRAY[p_route], ARRAY[cardinality(p_ids)]);
END
$$;
