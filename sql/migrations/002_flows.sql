-- Flows: how many needs a task wants met, arrivals that hold their flow open,
-- retry of a whole flow.
-- compatible_from: 1

-- So many of the needs must be met; null: all of them.
ALTER TABLE muster.needs ADD COLUMN least int;

-- A flow does not end before what arrives for it is admitted.
ALTER TABLE muster.arriving ADD COLUMN flow_id bigint;
CREATE INDEX arriving_flow ON muster.arriving (flow_id)
	WHERE flow_id IS NOT NULL;

-- retry_flow: whether what was cancelled runs again too.
ALTER TABLE muster.request ADD COLUMN cancelled_too boolean;

DROP FUNCTION IF EXISTS muster.enqueue(text, jsonb, text, int, timestamptz,
	bigint[], text, bigint, int, interval, boolean);
DROP FUNCTION IF EXISTS muster.flow_place(bigint[], int[], int[], smallint[],
	timestamptz[], int[], int[]);
DROP FUNCTION IF EXISTS muster.place_needs(bigint[], bigint);
DROP FUNCTION IF EXISTS muster.place(bigint[], timestamptz[], bigint);
DROP FUNCTION IF EXISTS muster.reopen(bigint[], bigint);
DROP FUNCTION IF EXISTS muster.revive(bigint[], bigint);
DROP FUNCTION IF EXISTS muster.retry_later(bigint, bigint, "char");
DROP FUNCTION IF EXISTS muster.unblock_free(bigint[]);
