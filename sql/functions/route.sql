-- Routes and lanes: what a (queue, kind) is called, and which lines exist.
-- Both insert where nothing is visible and never wait for anyone.

-- The number of (queue, kind), made when it is new. Called by enqueue,
-- submit_flow and worker_register; locks nothing.
CREATE OR REPLACE FUNCTION muster.route_of(p_queue text, p_kind text)
RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	IF p_queue = '-' THEN
		PERFORM muster.check_name('queue', p_queue);
	END IF;
	RETURN muster.route_intern(p_queue, p_kind);
END
$$;

-- The same, for the queue '-' of containers too.
CREATE OR REPLACE FUNCTION muster.route_intern(p_queue text, p_kind text)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_id int;
	v_try int := 0;
BEGIN
	SELECT r.id INTO v_id FROM muster.route r
	WHERE r.queue = p_queue AND r.kind = p_kind LIMIT 1;
	IF FOUND THEN
		RETURN v_id;
	END IF;
	IF p_queue <> '-' THEN
		PERFORM muster.check_name('queue', p_queue);
	END IF;
	PERFORM muster.check_name('kind', p_kind);
	-- Until the number is not that of another pair. This one may have been
	-- committed since the look above, with the same number.
	LOOP
		v_id := hashtextextended(p_queue || ' ' || p_kind, v_try)
			& 2147483647;
		EXIT WHEN v_id > 0 AND NOT EXISTS (
			SELECT FROM muster.route r WHERE r.id = v_id
			AND (r.queue, r.kind) <> (p_queue, p_kind));
		v_try := v_try + 1;
	END LOOP;
	INSERT INTO muster.route VALUES (v_id, p_queue, p_kind);
	RETURN v_id;
END
$$;

-- Names of queues and kinds stand in notifications, logs and Redis keys.
CREATE OR REPLACE FUNCTION muster.check_name(p_what text, p_name text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF p_name IS NULL OR p_name = '' THEN
		RAISE EXCEPTION 'the % has no name', p_what
			USING ERRCODE = 'MU003';
	ELSIF p_what = 'queue' AND p_name = '-' THEN
		RAISE EXCEPTION 'queue "-" is that of maps and nested flows'
			USING ERRCODE = 'MU003';
	ELSIF length(p_name) > 200 OR p_name ~ '[[:space:][:cntrl:]]' THEN
		RAISE EXCEPTION 'a % may not be named %', p_what,
			to_json(left(p_name, 60))
			USING ERRCODE = 'MU003', HINT = 'At most 200 characters, '
			'no blanks, no control characters.';
	END IF;
END
$$;

-- Sees to it that the line of (route, rank, lane) is known. Called by whoever
-- stores a task, in the same transaction; locks nothing.
CREATE OR REPLACE FUNCTION muster.lane_open(
	p_route int, p_rank int, p_lane int)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM muster.lanes l WHERE l.route_id = p_route
			AND l.rank = p_rank AND l.lane = p_lane) THEN
		INSERT INTO muster.lanes VALUES (p_route, p_rank, p_lane);
	END IF;
END
$$;
