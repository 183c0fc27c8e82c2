-- Marks for more lists, so that a transaction that holds back the vacuum for long
-- slows down neither admission nor requests.
-- compatible_from: 1

-- The order of admission; a task may stand there again when it is old.
CREATE SEQUENCE muster.arriving_seq CACHE 1;
ALTER TABLE muster.arriving
	ADD COLUMN seq bigint NOT NULL DEFAULT nextval('muster.arriving_seq');
CREATE INDEX arriving_order ON muster.arriving (seq);

-- The last values of the sequences of the lists, in the order of list_lane().
DELETE FROM muster.probe;
ALTER TABLE muster.probe DROP COLUMN delta, DROP COLUMN rest,
	ADD COLUMN lists bigint[] NOT NULL;

DROP FUNCTION IF EXISTS muster.mark_list(int, bigint, bigint);
