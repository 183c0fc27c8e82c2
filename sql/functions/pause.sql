-- Pausing kinds; queues are paused in request.sql, in the same way.

CREATE OR REPLACE FUNCTION muster.pause_kind(kind text)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN muster.ask_kind('pause_kind', kind);
END
$$;

CREATE OR REPLACE FUNCTION muster.resume_kind(kind text)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN muster.ask_kind('resume_kind', kind);
END
$$;

-- As ask().
CREATE OR REPLACE FUNCTION muster.ask_kind(p_verb text, p_kind text)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	v_id bigint := muster.request_number();
BEGIN
	PERFORM muster.check_name('kind', p_kind);
	INSERT INTO muster.request (id, verb, kind, wakes)
	VALUES (v_id, p_verb, p_kind, true);
	RETURN v_id;
END
$$;

CREATE OR REPLACE FUNCTION muster.do_pause_kind(
	p_request muster.request, p_limit int)
RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO muster.paused (kind) VALUES (p_request.kind)
	ON CONFLICT DO NOTHING;
	RETURN muster.end_pause(p_request, FOUND, p_limit, ARRAY(
		SELECT r.id FROM muster.route r
		WHERE r.kind = p_request.kind), 'kind ' || p_request.kind);
END
$$;

CREATE OR REPLACE FUNCTION muster.do_resume_kind(p_request muster.request)
RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM muster.paused p WHERE p.kind = p_request.kind;
	IF NOT FOUND THEN
		RETURN muster.answer(p_request.id, 'done',
			format('kind %s was not paused', p_request.kind));
	END IF;
	PERFORM muster.lock_unshut(ARRAY(SELECT r.id FROM muster.route r
		WHERE r.kind = p_request.kind));
	PERFORM muster.announce(array_agg(h.route_id), array_agg(h.n))
	FROM (SELECT r.route_id, r.n FROM muster.ready r
		WHERE r.route_id IN (SELECT x.id FROM muster.route x
			WHERE x.kind = p_request.kind) LIMIT 1000) h;
	RETURN muster.answer(p_request.id, 'done',
		format('kind %s goes on', p_request.kind));
END
$$;
