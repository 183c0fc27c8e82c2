-- How limits are told to people.

-- "10/s", "100/m": as a configuration has it.
CREATE OR REPLACE FUNCTION muster.rate_text(p_rate float8)
RETURNS text LANGUAGE sql IMMUTABLE STRICT AS $$
	SELECT round((p_rate * u.seconds)::numeric, 3)::float8 || '/' || u.unit
	FROM (VALUES (1, 1, 's'), (2, 60, 'm'), (3, 3600, 'h'),
		(4, 86400, 'd')) u(o, seconds, unit)
	ORDER BY abs(p_rate * u.seconds - round(p_rate * u.seconds))
			> 1e-6 * p_rate * u.seconds, u.o LIMIT 1
$$;

-- When the next start is free; null: now.
CREATE OR REPLACE FUNCTION muster.rate_next(p_scope "char", p_name text)
RETURNS timestamptz LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	v_now timestamptz := clock_timestamp();
	v_rate float8;
	v_level float8;
BEGIN
	SELECT min(b.rate) INTO v_rate FROM muster.budget b
	WHERE b.scope = p_scope AND b.name = p_name;
	SELECT b.level + v_rate * extract(epoch FROM v_now - b.at)
	INTO v_level FROM muster.bucket b
	WHERE b.scope = p_scope AND b.name = p_name ORDER BY b.gen DESC LIMIT 1;
	IF v_level < 1 THEN
		RETURN v_now + (1 - v_level) / v_rate * interval '1 s';
	END IF;
	RETURN NULL;
END
$$;

-- The limit that holds back what is ready in this queue or of this kind; null if
-- none does.
CREATE OR REPLACE FUNCTION muster.why_limit(p_scope "char", p_name text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_limit record;
BEGIN
	SELECT * INTO v_limit FROM muster.limit_status l
	WHERE l.scope = CASE p_scope WHEN 'q' THEN 'queue' ELSE 'kind' END
		AND l.name = p_name;
	IF v_limit.held >= v_limit.max_running THEN
		RETURN format('its turn, limit reached: %s %s runs %s of '
			'max_running %s', v_limit.scope, p_name, v_limit.held,
			v_limit.max_running);
	ELSIF v_limit.next_at IS NOT NULL THEN
		RETURN format('its turn, rate %s of %s %s: next at %s',
			v_limit.rate, v_limit.scope, p_name, v_limit.next_at);
	END IF;
	RETURN NULL;
END
$$;
