-- Settings that the SQL itself obeys.

-- How many bytes of JSON, as jsonb is written, a payload may have.
CREATE OR REPLACE FUNCTION muster.max_payload()
RETURNS bigint LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT s.value::bigint FROM muster.setting s
		WHERE s.name = 'max_payload');
END
$$;

-- Called by a scheduler, which brings what its configuration says. Whether that
-- was a change.
CREATE OR REPLACE FUNCTION muster.set_setting(name text, value text)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF name IS DISTINCT FROM 'max_payload' THEN
		RAISE EXCEPTION 'there is no setting %',
			coalesce(to_json(name)::text, 'null')
			USING ERRCODE = 'MU003';
	ELSIF value IS NULL OR value !~ '^\d{1,10}$'
			OR value::bigint NOT BETWEEN 1 AND 1073741823 THEN
		RAISE EXCEPTION 'max_payload is a number of bytes below 1 GB'
			USING ERRCODE = 'MU003';
	END IF;
	UPDATE muster.setting s SET value = set_setting.value
	WHERE s.name = set_setting.name AND s.value <> set_setting.value;
	RETURN FOUND;
END
$$;
