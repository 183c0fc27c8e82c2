/* musterctl status */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/control.h"
#include "ctl/session.h"
#include "ctl/table.h"
#include "ctl/table_json.h"
#include "ctl/verb_list.h"

enum { ANSWER_LIMIT_MS = 5000, RUNNING_SHOWN = 10 };

const char status_examples[] = "musterctl status                # daemon, "
			       "workers, pools, what waits and runs\n"
			       "musterctl status --json\n";

static const struct column daemon_columns[] = {
    {"state", "musterd", COLUMN_STATE},
    {"status", "says", COLUMN_TEXT},
    {"version", "version", COLUMN_TEXT},
    {"pid", "pid", COLUMN_NUMBER},
    {"uptime_ms", "up", COLUMN_MS},
    {"config.file", "configuration", COLUMN_TEXT},
    {"generation", "generation", COLUMN_NUMBER},
    {"config.loaded_at", "loaded", COLUMN_TIME},
    {"config.refused", "refused", COLUMN_TEXT},
    {"scheduler.pid", "scheduler", COLUMN_NUMBER},
    {"scheduler.state", "its state", COLUMN_STATE},
    {"scheduler.restarts", "its restarts", COLUMN_NUMBER},
    {0},
};

static const struct column worker_columns[] = {
    {"slot", "SLOT", COLUMN_NUMBER},
    {"pid", "PID", COLUMN_NUMBER},
    {"state", "STATE", COLUMN_STATE},
    {"running_total", "RUNNING", COLUMN_NUMBER},
    {"claimed", "CLAIMED", COLUMN_NUMBER},
    {"succeeded", "DONE", COLUMN_NUMBER},
    {"failed", "FAILED", COLUMN_NUMBER},
    {"retried", "RETRIED", COLUMN_NUMBER},
    {"fenced", "FENCED", COLUMN_NUMBER},
    {"lag_us.p99", "LAG99us", COLUMN_NUMBER},
    {"restarts", "RESTARTS", COLUMN_NUMBER},
    {"uptime_ms", "UP", COLUMN_MS},
    {"worker", "WORKER", COLUMN_ID},
    {0},
};

static const struct column running_columns[] = {
    {"task", "TASK", COLUMN_ID},
    {"slot", "SLOT", COLUMN_NUMBER},
    {"for_ms", "RUNS", COLUMN_MS},
    {0},
};

static const struct column pool_columns[] = {
    {"kind", "POOL", COLUMN_TEXT},
    {"slot", "SLOT", COLUMN_NUMBER},
    {"processes.starting", "STARTING", COLUMN_NUMBER},
    {"processes.ready", "READY", COLUMN_NUMBER},
    {"processes.busy", "BUSY", COLUMN_NUMBER},
    {"processes.ending", "ENDING", COLUMN_NUMBER},
    {"processes.max", "MAX", COLUMN_NUMBER},
    {"running", "RUNNING", COLUMN_NUMBER},
    {"started", "STARTED", COLUMN_NUMBER},
    {"crashed", "CRASHED", COLUMN_NUMBER},
    {"next_start_ms", "NEXT", COLUMN_MS},
    {"error_ms", "AGO", COLUMN_MS},
    {"error", "LAST ERROR", COLUMN_TEXT},
    {0},
};

static const struct column database_columns[] = {
    {"version", "schema", COLUMN_NUMBER},
    {"workers", "workers", COLUMN_NUMBER},
    {"ready", "ready", COLUMN_NUMBER},
    {"running", "running", COLUMN_NUMBER},
    {"scheduled", "scheduled", COLUMN_NUMBER},
    {"blocked", "blocked", COLUMN_NUMBER},
    {"waiting", "waiting", COLUMN_NUMBER},
    {"arriving", "arriving", COLUMN_NUMBER},
    {"oldest_ready_ms", "oldest ready", COLUMN_MS},
    {"paused", "paused", COLUMN_NAMES},
    {"paused_kinds", "paused kinds", COLUMN_NAMES},
    {"limits", "limits", COLUMN_NAMES},
    {"flows", "flows running", COLUMN_NUMBER},
    {0},
};

static int
query(struct ctl *ctl, PGresult **ret_result)
{
	static const char sql[] =
	    "SELECT (SELECT max(version) FROM muster.schema_version) AS "
	    "version,"
	    " (SELECT count(*) FROM muster.worker_status) AS workers,"
	    " coalesce(sum(ready), 0) AS ready,"
	    " coalesce(sum(running), 0) AS running,"
	    " coalesce(sum(scheduled), 0) AS scheduled,"
	    " coalesce(sum(blocked), 0) AS blocked,"
	    " coalesce(sum(waiting), 0) AS waiting,"
	    " coalesce(sum(arriving), 0) AS arriving,"
	    " max(oldest_ready_ms)::bigint AS oldest_ready_ms,"
	    " (SELECT json_agg(queue ORDER BY queue) FROM muster.pauses"
	    "   WHERE queue IS NOT NULL) AS paused,"
	    " (SELECT json_agg(kind ORDER BY kind) FROM muster.pauses"
	    "   WHERE kind IS NOT NULL) AS paused_kinds,"
	    " (SELECT json_agg(scope || ' ' || name || ' ' || use"
	    "   ORDER BY scope DESC, name) FROM muster.limit_status) AS limits,"
	    " (SELECT count(*) FROM muster.flow_status"
	    "   WHERE finished_at IS NULL) AS flows"
	    " FROM muster.queue_stats";
	int code = session_connect(ctl);

	return code == 0 ? session_query(ctl, ret_result, sql, 0, NULL) : code;
}

static void
print_json(json_t *daemon, const PGresult *database)
{
	struct json json = JSON_EMPTY;
	char *text = daemon != NULL ? json_dumps(daemon, JSON_COMPACT) : NULL;

	json_begin(&json, '{');
	json_add_key(&json, "daemon");
	json_add_raw(&json, text);
	json_add_key(&json, "database");
	if (database == NULL) {
		json_add_raw(&json, NULL);
	} else {
		json_begin(&json, '{');
		table_json_members(&json, database_columns, database, 0);
		json_end(&json, '}');
	}
	json_end(&json, '}');
	json_print(&json);
	free(text);
}

static int
compare_running(const void *a, const void *b)
{
	json_int_t left =
	    json_integer_value(json_object_get(*(json_t *const *)a, "for_ms"));
	json_int_t right =
	    json_integer_value(json_object_get(*(json_t *const *)b, "for_ms"));

	return left < right ? 1 : left > right ? -1 : 0;
}

/* The tasks that run longest, of all workers; the caller decrefs the array. */
static json_t *
longest_running(const json_t *workers)
{
	json_t *all = json_array(), *longest = json_array(), *worker, *task;
	size_t i, k, count;
	json_t **sorted;

	json_array_foreach(workers, i, worker)
	    json_array_foreach(json_object_get(worker, "running"), k, task)
	{
		json_object_set(task, "slot", json_object_get(worker, "slot"));
		json_array_append(all, task);
	}
	count = json_array_size(all);
	sorted = calloc(count + 1, sizeof(*sorted));
	if (sorted == NULL)
		abort();
	for (i = 0; i < count; i++)
		sorted[i] = json_array_get(all, i);
	qsort(sorted, count, sizeof(json_t *), compare_running);
	for (i = 0; i < count && i < RUNNING_SHOWN; i++)
		json_array_append(longest, sorted[i]);
	free(sorted);
	json_decref(all);
	return longest;
}

static void
print_running(const struct ctl *ctl, const json_t *workers)
{
	json_t *longest = longest_running(workers);
	PGresult *rows = table_from_json(running_columns, longest);

	if (PQntuples(rows) > 0) {
		putchar('\n');
		table_print(ctl, running_columns, rows, "");
	}
	PQclear(rows);
	json_decref(longest);
}

/* Those that have started a process, or tried to. */
static json_t *
used_pools(const json_t *workers)
{
	json_t *used = json_array(), *worker, *pool;
	size_t i, k;

	json_array_foreach(workers, i, worker)
	    json_array_foreach(json_object_get(worker, "pools"), k, pool)
	{
		if (json_integer_value(json_object_get(pool, "started")) == 0 &&
		    json_integer_value(json_object_get(pool, "crashed")) == 0)
			continue;
		json_object_set(pool, "slot", json_object_get(worker, "slot"));
		json_array_append(used, pool);
	}
	return used;
}

static void
print_pools(const struct ctl *ctl, const json_t *workers)
{
	json_t *used = used_pools(workers);
	PGresult *rows = table_from_json(pool_columns, used);

	if (PQntuples(rows) > 0) {
		putchar('\n');
		table_print(ctl, pool_columns, rows, "");
	}
	PQclear(rows);
	json_decref(used);
}

static void
print_daemon(const struct ctl *ctl, const json_t *daemon)
{
	json_t *workers = json_object_get(daemon, "workers");
	json_t *one = json_pack("[O]", daemon);
	PGresult *rows = table_from_json(daemon_columns, one);

	table_print_record(daemon_columns, rows, 0);
	PQclear(rows);
	json_decref(one);
	if (json_array_size(workers) == 0)
		return;
	putchar('\n');
	rows = table_from_json(worker_columns, workers);
	table_print(ctl, worker_columns, rows, "");
	PQclear(rows);
	print_pools(ctl, workers);
	print_running(ctl, workers);
}

/* The daemon is asked first: it answers without a database too. */
int
verb_status(struct ctl *ctl)
{
	json_t *daemon;
	PGresult *database = NULL;
	int daemon_code, code;

	daemon_code = control_order(
	    ctl, "{\"verb\":\"status\"}", ANSWER_LIMIT_MS, &daemon);
	code = query(ctl, &database);
	if (ctl_json(ctl)) {
		print_json(daemon, database);
	} else {
		if (daemon != NULL)
			print_daemon(ctl, daemon);
		if (daemon != NULL && database != NULL)
			putchar('\n');
		if (database != NULL)
			table_print_record(database_columns, database, 0);
	}
	PQclear(database);
	json_decref(daemon);
	return code != 0 ? code : daemon_code;
}
