-- What a map or a nested flow waits for.

CREATE OR REPLACE FUNCTION muster.why_container(
	p_task muster.task, p_state text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_text text;
BEGIN
	IF p_state NOT IN ('ready', 'running')
			OR muster.why_queue(p_task) <> '-' THEN
		RETURN NULL;
	END IF;
	SELECT format('its flow %s has %s of %s tasks open%s%s', c.flow_id,
		c.open, c.total, CASE WHEN c.failed > 0
			THEN format(', %s failed', c.failed) END,
		CASE WHEN p.cancelled IS NOT NULL THEN ', and is being cancelled'
			WHEN c.max_running IS NOT NULL
			THEN format(', at most %s at a time', c.max_running) END)
	INTO v_text
	FROM muster.containers c
	JOIN muster.container p ON p.task_id = c.task_id
		AND p.flow_id = c.flow_id
	WHERE c.task_id = p_task.id;
	RETURN coalesce(v_text, 'it waits for a scheduler to expand it');
END
$$;

-- The first tasks that are open in it.
CREATE OR REPLACE FUNCTION muster.why_holds(p_id bigint)
RETURNS bigint[] LANGUAGE plpgsql AS $$
BEGIN
	RETURN ARRAY(SELECT t.id FROM muster.task t
		WHERE t.flow_id = (SELECT c.flow_id FROM muster.container c
				WHERE c.task_id = p_id) AND t.state IS NULL
		ORDER BY t.id LIMIT 5);
END
$$;
