-- Who may do what. May be run again at any time.
REVOKE ALL ON ALL TABLES IN SCHEMA muster FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA muster FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA muster
	FROM muster_client, muster_reader;
GRANT USAGE ON SCHEMA muster TO muster_worker, muster_client, muster_reader;

-- The daemon: its functions run with its own rights.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA muster
	TO muster_worker;
REVOKE INSERT, UPDATE, DELETE ON muster.schema_version FROM muster_worker;
GRANT SELECT, USAGE, UPDATE ON ALL SEQUENCES IN SCHEMA muster
	TO muster_worker;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA muster TO muster_worker;

-- Applications: the public functions, which run with the owner's rights.
DO $do$
DECLARE
	v_function regprocedure;
BEGIN
	FOR v_function IN SELECT p.oid FROM pg_proc p
			WHERE p.pronamespace = 'muster'::regnamespace
			AND p.proname IN ('enqueue', 'enqueue_unique', 'enqueue_many',
				'submit_flow', 'cancel', 'cancel_flow',
				'cancel_where', 'retry', 'retry_flow',
				'retry_where', 'delete', 'reprioritise',
				'reprioritise_where', 'count_where', 'pause',
				'resume', 'pause_kind', 'resume_kind',
				'request_status', 'request_progress', 'why',
				'max_payload', 'cron_next', 'schedule',
				'unschedule', 'pause_schedule', 'resume_schedule') LOOP
		EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO muster_client',
			v_function);
	END LOOP;
END
$do$;

-- Who looks on.
GRANT SELECT, INSERT ON muster.enqueue_rows TO muster_client;
GRANT SELECT ON muster.task_status, muster.flow_status, muster.queue_stats,
	muster.worker_status, muster.attempts, muster.task_needs,
	muster.schedules, muster.schedule_runs,
	muster.limit_status, muster.pauses, muster.containers,
	muster.map_items,
	muster.schema_version
	TO muster_reader, muster_client;
GRANT EXECUTE ON FUNCTION muster.why(bigint) TO muster_reader;
-- In views.
GRANT EXECUTE ON FUNCTION muster.rate_text(float8),
	muster.rate_next("char", text), muster.state_name("char"),
	muster.run_outcome("char") TO muster_reader, muster_client;
