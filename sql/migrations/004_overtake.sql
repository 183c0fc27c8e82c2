-- Who is ready with a slot of its concurrency key and not yet claimed may be
-- overtaken by one that is more urgent.
-- compatible_from: 1

-- aged: it has its slot by age, before more urgent ones; null: it has not.
ALTER TABLE muster.ready ADD COLUMN aged boolean;
CREATE INDEX ready_keyed ON muster.ready (lock_id, rank, lane, seq)
	WHERE lock_id IS NOT NULL;
