-- Containers: maps and nested flows, tasks that stand for a flow of their own.
-- compatible_from: 1

ALTER TABLE muster.flow ADD COLUMN parent_task bigint; -- its container

-- What a container is, from submit to purge.
CREATE TABLE muster.container_plan (
	task_id bigint PRIMARY KEY,
	flow_id bigint, -- its tasks; null until it is first opened
	from_task bigint, -- a map: the need whose result is the list
	items int, -- … how many there are; null: not known yet
	paged int NOT NULL DEFAULT 0, -- … so many of them went to map_page
	chunk int, -- … items a task; null: one, and not as a list
	max_running int, -- … so many tasks of it are open at a time
	route_id int, -- … of its tasks
	fail_fast boolean NOT NULL DEFAULT false,
	total int, -- tasks that it will have
	created int NOT NULL DEFAULT 0, -- … has
	counted int NOT NULL DEFAULT 0, -- … of which its flow knows
	spec jsonb -- a nested flow
) WITH (fillfactor = 50);

-- The place of a container whose flow runs, or is about to.
CREATE TABLE muster.container (
	task_id bigint PRIMARY KEY,
	flow_id bigint, -- null: to be opened
	cancelled text -- why it is to end
);

-- Containers of which there is something to create, in order.
CREATE SEQUENCE muster.expansion_id;
CREATE TABLE muster.expansion (
	id bigint PRIMARY KEY DEFAULT nextval('muster.expansion_id'),
	task_id bigint NOT NULL
);

-- The next items of a map, 200 of them a row; gone when they are tasks.
CREATE TABLE muster.map_page (
	task_id bigint NOT NULL,
	page int NOT NULL,
	items jsonb[] NOT NULL,
	PRIMARY KEY (task_id, page)
);

DO $do$
DECLARE
	v_table text;
BEGIN
	FOREACH v_table IN ARRAY ARRAY['container', 'container_plan',
			'expansion', 'map_page'] LOOP
		EXECUTE format('ALTER TABLE muster.%I SET ('
			'vacuum_truncate = off,'
			'autovacuum_vacuum_scale_factor = 0,'
			'autovacuum_vacuum_threshold = 2000,'
			'autovacuum_analyze_scale_factor = 0,'
			'autovacuum_analyze_threshold = 20000)', v_table);
	END LOOP;
END
$do$;
