-- Who is ready with a slot of its concurrency key and not yet claimed may be
-- overtaken by one that is more urgent.
-- compatible_from: 1

-- aged: it has its slot by age, before more urgent ones; null: it has not.
ALTER TABLE muster.ready ADD COLUMN aged boolean;
CREATE INDEX ready_keyed ON muster.ready (lock_id, rank, lane, seq)
	WHERE lock_id IS NOT NULL;

-- Which of three sorts a request belongs to: for one thing, for a flow, for many
-- tasks. Each sort is met in its order.
ALTER TABLE muster.request ADD COLUMN sort smallint NOT NULL GENERATED ALWAYS AS (
	CASE WHEN total IS NOT NULL THEN 3
	WHEN verb IN ('stop_flow', 'cancel_flow', 'retry_flow', 'reopen') THEN 2
	ELSE 1 END) STORED;
CREATE INDEX request_sort ON muster.request (sort, id) WHERE done_at IS NULL;
CREATE INDEX request_target ON muster.request (verb, target)
	WHERE done_at IS NULL;

DROP FUNCTION IF EXISTS muster.request_sort(text, int);
DROP FUNCTION IF EXISTS muster.carry_sort(int, bigint, int, boolean, timestamptz);
