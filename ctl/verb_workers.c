/* musterctl workers */
#include "ctl/session.h"
#include "ctl/table.h"
#include "ctl/verb_list.h"

const char workers_examples[] =
    "musterctl workers         # of every host, with what they run\n"
    "musterctl workers --json\n";

static const struct column columns[] = {
    {"id", "WORKER", COLUMN_ID},
    {"host", "HOST", COLUMN_TEXT},
    {"pid", "PID", COLUMN_NUMBER},
    {"version", "VERSION", COLUMN_TEXT},
    {"running", "RUNNING", COLUMN_NUMBER},
    {"seen_ms", "SEEN", COLUMN_MS},
    {"up_ms", "UP", COLUMN_MS},
    {"queues", "QUEUES", COLUMN_NAMES},
    {"kinds", "KINDS", COLUMN_NAMES},
    {"instance", NULL, COLUMN_TEXT},
    {0},
};

int
verb_workers(struct ctl *ctl)
{
	static const char sql[] =
	    "SELECT id, instance, host, pid, version, running,"
	    " to_json(queues) AS queues, to_json(kinds) AS kinds,"
	    " (extract(epoch FROM clock_timestamp() - last_beat_at) * 1000)"
	    "::bigint AS seen_ms,"
	    " (extract(epoch FROM clock_timestamp() - registered_at) * 1000)"
	    "::bigint AS up_ms"
	    " FROM muster.worker_status ORDER BY host, pid";
	PGresult *result;
	int code = session_connect(ctl);

	if (code == 0)
		code = session_query(ctl, &result, sql, 0, NULL);
	if (code != 0)
		return code;
	table_print(ctl, columns, result, "no worker is registered");
	PQclear(result);
	return CTL_DONE;
}
