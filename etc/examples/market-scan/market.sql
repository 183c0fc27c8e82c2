-- What the market scan does in the database: it submits flows. As handlers:
--   scan_market: {sql: market.scan, role: muster_client}
--   discuss:     {sql: market.discuss, role: muster_client}
CREATE SCHEMA market;
GRANT USAGE ON SCHEMA market TO muster_client;

-- A hundred symbols, ten at a time; what is found is discussed.
CREATE FUNCTION market.scan(payload jsonb, inputs jsonb,
	task muster.task_context) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('flow', muster.submit_flow(jsonb_build_object(
		'flow', format('%s scan', payload ->> 'scanner'),
		'tasks', jsonb_build_object(
			'symbols', '{"kind": "symbols"}'::jsonb,
			'scan', jsonb_build_object('kind', 'scan',
				'payload', payload, 'needs', '["symbols"]'::jsonb,
				'map', '{"from": "symbols", "max_running": 10}'
					::jsonb),
			'choose', '{"kind": "choose", "needs": ["scan"]}'::jsonb,
			'discuss', '{"kind": "discuss", "needs": ["choose"],
				"map": {"from": "choose"}}'::jsonb)))::text)
$$;

-- Five analysts at the same time, any of whom may fail; the chief decides on
-- what came back. In the same transaction as the end of the task: one
-- discussion an opportunity, whatever breaks.
CREATE FUNCTION market.discuss(payload jsonb, inputs jsonb,
	task muster.task_context) RETURNS jsonb LANGUAGE sql AS $$
	WITH analyst(name) AS (
		SELECT unnest('{technical,fundamental,news,mood,risk}'::text[])
	)
	SELECT jsonb_build_object('flow', muster.submit_flow(jsonb_build_object(
		'flow', format('discuss %s', payload #>> '{item,symbol}'),
		'tasks', jsonb_object_agg(a.name, jsonb_build_object(
			'kind', 'analyse', 'max_attempts', 1,
			'payload', jsonb_build_object('as', a.name,
				'symbol', payload #> '{item,symbol}')))
		|| jsonb_build_object('chief', jsonb_build_object(
			'kind', 'decide', 'payload', payload -> 'item',
			'needs', jsonb_agg(jsonb_build_object('task', a.name,
				'when', 'finished')))))
		)::text)
	FROM analyst a
$$;
