-- The example "tickets": what an application has beside the schema muster.
CREATE SCHEMA tickets;

CREATE TABLE tickets.ticket (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	subject text NOT NULL,
	body text NOT NULL,
	state text NOT NULL DEFAULT 'new', -- then open, refused or duplicate
	note text,
	embedding float8[] -- comes later, or never
);

-- Inserts a ticket and submits its flow, in the caller's transaction.
CREATE FUNCTION tickets.submit(p_subject text, p_body text)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	v_ticket jsonb;
	v_id bigint;
BEGIN
	INSERT INTO tickets.ticket (subject, body) VALUES (p_subject, p_body)
	RETURNING id INTO v_id;
	v_ticket := jsonb_build_object('ticket', v_id, 'subject', p_subject,
		'body', p_body);
	PERFORM muster.submit_flow(jsonb_build_object(
		'flow', 'ticket ' || v_id, 'on_failure', 'continue',
		'tasks', jsonb_build_object(
			'duplicates', jsonb_build_object(
				'kind', 'ticket_duplicates', 'payload', v_ticket),
			'validate', jsonb_build_object(
				'kind', 'ticket_validate', 'payload', v_ticket),
			'embed', jsonb_build_object('kind', 'ticket_embed',
				'queue', 'background', 'payload', v_ticket),
			'store', jsonb_build_object('kind', 'ticket_store',
				'payload', v_ticket,
				'needs', '["duplicates", "validate"]'::jsonb),
			'keep embedding', jsonb_build_object(
				'kind', 'ticket_keep_embedding',
				'queue', 'background', 'payload', v_ticket,
				'needs', '["store", "embed"]'::jsonb))));
	RETURN v_id;
END
$$;

-- The tasks that are functions.

-- A message of the trigger.
CREATE FUNCTION tickets.receive(
	payload jsonb, inputs jsonb, task muster.task_context)
RETURNS jsonb LANGUAGE sql AS $$
	SELECT to_jsonb(tickets.submit(payload ->> 'subject', payload ->> 'body'))
$$;

-- An earlier ticket with the same words, or null.
CREATE FUNCTION tickets.duplicates(
	payload jsonb, inputs jsonb, task muster.task_context)
RETURNS jsonb LANGUAGE sql AS $$
	SELECT to_jsonb(min(t.id)) FROM tickets.ticket t
	WHERE t.id < (payload ->> 'ticket')::bigint
		AND lower(t.subject) = lower(payload ->> 'subject')
		AND lower(t.body) = lower(payload ->> 'body')
$$;

CREATE FUNCTION tickets.store(
	payload jsonb, inputs jsonb, task muster.task_context)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	v_wrong text := inputs #>> '{validate,result,wrong}';
	v_same text := inputs #>> '{duplicates,result}';
BEGIN
	UPDATE tickets.ticket SET
		state = CASE WHEN v_wrong IS NOT NULL THEN 'refused'
			WHEN v_same IS NOT NULL THEN 'duplicate' ELSE 'open' END,
		note = coalesce(v_wrong, 'the same as ticket ' || v_same)
	WHERE id = (payload ->> 'ticket')::bigint;
	RETURN NULL;
END
$$;

CREATE FUNCTION tickets.keep_embedding(
	payload jsonb, inputs jsonb, task muster.task_context)
RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	UPDATE tickets.ticket SET embedding = ARRAY(
		SELECT jsonb_array_elements_text(inputs #> '{embed,result}')::float8)
	WHERE id = (payload ->> 'ticket')::bigint;
	RETURN NULL;
END
$$;

GRANT USAGE ON SCHEMA tickets TO muster_worker;
GRANT SELECT, INSERT, UPDATE ON tickets.ticket TO muster_worker;
