-- Waking sleepers without a storm: NOTIFY takes a global lock at commit, so it
-- is sent only while somebody sleeps on what became available, and once for a
-- transaction and queue.

-- True if it was not on the list. Who is there already and not for long costs
-- only the look, so a scheduler may say it every few seconds.
CREATE OR REPLACE FUNCTION muster.sleep_on(
	p_instance text, p_id bigint, p_queues text[])
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	v_was boolean;
BEGIN
	IF EXISTS (SELECT FROM muster.sleepers s
			WHERE s.id = p_id AND s.queues = p_queues
			AND s.listed_at > now() - interval '1 min') THEN
		RETURN false;
	END IF;
	DELETE FROM muster.sleepers WHERE id = p_id;
	v_was := FOUND;
	INSERT INTO muster.sleepers (id, instance, queues)
	VALUES (p_id, p_instance, p_queues);
	RETURN NOT v_was;
END
$$;

CREATE OR REPLACE FUNCTION muster.wake_up(p_id bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM muster.sleepers WHERE id = p_id;
END
$$;

-- Who is on the list and will never be woken: each costs every enqueue a
-- notification. A worker that is not alive: it comes back under another id, and
-- one that lives is never taken off here. A scheduler that has not said for
-- three minutes that it sleeps: it would have done so every minute, and one that
-- was only frozen says it again within seconds.
CREATE OR REPLACE FUNCTION muster.sleepers_purge()
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM muster.sleepers s WHERE s.ctid = ANY (ARRAY(
		SELECT x.ctid FROM muster.sleepers x
		WHERE (x.id > 0 AND NOT EXISTS (SELECT FROM muster.worker w
				WHERE w.id = x.id AND w.dead_at IS NULL))
			OR (x.id < 0 AND x.listed_at < now() - interval '3 min')
		FOR UPDATE SKIP LOCKED));
END
$$;

-- Clients: n more tasks of this route are ready in this transaction. True for
-- the first: its row is to bear `wakes`, and the trigger below, at commit,
-- tells the sum.
CREATE OR REPLACE FUNCTION muster.wake_count(p_route int, p_count int)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	v_name text := 'muster.ready_' || p_route;
	v_before text := coalesce(current_setting(v_name, true), '');
BEGIN
	-- An assignment, since that is a third of the cost of a PERFORM.
	IF v_before = '' THEN
		v_name := set_config(v_name, p_count::text, true);
		RETURN true;
	END IF;
	v_name := set_config(v_name, (v_before::bigint + p_count)::text, true);
	RETURN false;
END
$$;

-- Clients: work for a scheduler. True for the first of the transaction.
CREATE OR REPLACE FUNCTION muster.wake_work()
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('muster.work', true) = 'y' THEN
		RETURN false;
	END IF;
	PERFORM set_config('muster.work', 'y', true);
	RETURN true;
END
$$;

-- A transaction with an old snapshot does not see who sleeps now.
CREATE OR REPLACE FUNCTION muster.sleeps_on(p_queue text)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RETURN current_setting('transaction_isolation') <> 'read committed'
		OR EXISTS (SELECT FROM muster.sleepers s
			WHERE p_queue = ANY (s.queues));
END
$$;

-- So many tasks are ready in a queue; that of containers is the schedulers'.
CREATE OR REPLACE FUNCTION muster.wake_word(p_queue text, p_count bigint)
RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN p_queue = '-' THEN 'work'
		ELSE 'ready ' || p_queue || ' ' || p_count END
$$;

CREATE OR REPLACE FUNCTION muster.ready_wakes()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_name text := 'muster.ready_' || NEW.route_id;
	v_count text := current_setting(v_name, true);
	v_queue text;
BEGIN
	PERFORM set_config(v_name, '', true);
	SELECT r.queue INTO v_queue FROM muster.route r
	WHERE r.id = NEW.route_id LIMIT 1;
	IF muster.sleeps_on(v_queue) THEN
		PERFORM pg_notify('muster', muster.wake_word(v_queue,
			coalesce(nullif(v_count, '')::bigint, 1)));
	END IF;
	RETURN NULL;
END
$$;

-- Of requests a scheduler is told even when it does not sleep: it puts them
-- before what else it has to do.
CREATE OR REPLACE FUNCTION muster.work_wakes()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF TG_TABLE_NAME = 'request' THEN
		PERFORM pg_notify('muster', 'request');
		RETURN NULL;
	END IF;
	PERFORM set_config('muster.work', '', true);
	IF muster.sleeps_on('') THEN
		PERFORM pg_notify('muster', 'work');
	END IF;
	RETURN NULL;
END
$$;

-- Deferred: at commit it is known best who sleeps.
DO $do$
DECLARE
	v_table text;
BEGIN
	FOREACH v_table IN ARRAY
			ARRAY['ready', 'scheduled', 'arriving', 'request'] LOOP
		CONTINUE WHEN EXISTS (SELECT FROM pg_trigger t
			WHERE t.tgrelid = ('muster.' || v_table)::regclass
			AND t.tgname = v_table || '_wakes');
		EXECUTE format('CREATE CONSTRAINT TRIGGER %I AFTER INSERT '
			'ON muster.%I DEFERRABLE INITIALLY DEFERRED FOR EACH ROW '
			'WHEN (NEW.wakes) EXECUTE FUNCTION muster.%I()',
			v_table || '_wakes', v_table,
			CASE v_table WHEN 'ready' THEN 'ready_wakes'
				ELSE 'work_wakes' END);
	END LOOP;
END
$do$;

-- The daemon: p_counts[i] tasks of p_routes[i] became ready, one if null. A turn
-- tells it at its end (announce_turn).
CREATE OR REPLACE FUNCTION muster.announce(
	p_routes int[], p_counts int[] DEFAULT NULL)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_kept text := coalesce(current_setting('muster.turn_routes', true), '');
BEGIN
	IF p_routes IS NULL OR NOT EXISTS (SELECT FROM muster.sleepers) THEN
		RETURN;
	ELSIF v_kept = '' THEN
		PERFORM muster.announce_to(NULL, p_routes, p_counts);
		RETURN;
	END IF;
	v_kept := set_config('muster.turn_routes',
		(v_kept::int[] || p_routes)::text, true);
	v_kept := set_config('muster.turn_counts',
		(nullif(current_setting('muster.turn_counts', true), '')::int[]
			|| coalesce(p_counts,
				array_fill(1, ARRAY[cardinality(p_routes)])))::text, true);
END
$$;

-- The same, at once, for whoever sleeps but p_but.
CREATE OR REPLACE FUNCTION muster.announce_to(
	p_but bigint, p_routes int[], p_counts int[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_notify('muster', muster.wake_word(q.queue, sum(q.n)::bigint))
	FROM (
		SELECT c.n, (SELECT r.queue FROM muster.route r
			WHERE r.id = c.route_id LIMIT 1) AS queue
		FROM (SELECT u.route_id, sum(coalesce(u.n, 1)) AS n
			FROM unnest(p_routes, p_counts) u(route_id, n)
			GROUP BY 1) c
	) q
	WHERE EXISTS (SELECT FROM muster.sleepers s
		WHERE q.queue = ANY (s.queues) AND s.id IS DISTINCT FROM p_but)
	GROUP BY q.queue;
END
$$;

-- Tells what became ready in this turn since it set muster.turn_routes to '{}', but
-- for what it has claimed itself, as is certain of a route of which it wanted more
-- than there was: p_left[i] of p_route[i]; null: it claimed nothing. Not p_worker,
-- which looks by itself at each route that it has, or gets, room for.
CREATE OR REPLACE FUNCTION muster.announce_turn(
	p_worker bigint, p_route int[], p_left int[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_routes int[] := current_setting('muster.turn_routes');
	v_counts int[] := current_setting('muster.turn_counts');
	v_set text := set_config('muster.turn_counts', '', true);
BEGIN
	SELECT array_agg(k.r), array_agg(k.n) INTO v_routes, v_counts
	FROM unnest(v_routes, v_counts) k(r, n)
	WHERE (p_left[array_position(p_route, k.r)] > 0) IS NOT TRUE;
	IF v_routes IS NOT NULL THEN
		PERFORM muster.announce_to(p_worker, v_routes, v_counts);
	END IF;
END
$$;

-- The daemon: there is work for a scheduler.
CREATE OR REPLACE FUNCTION muster.announce_work()
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF EXISTS (SELECT FROM muster.sleepers s WHERE '' = ANY (s.queues)) THEN
		PERFORM pg_notify('muster', 'work');
	END IF;
END
$$;
