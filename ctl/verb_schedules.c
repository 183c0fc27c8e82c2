/* musterctl schedules */
#include "ctl/session.h"
#include "ctl/table.h"
#include "ctl/verb_list.h"

const char schedules_examples[] =
    "musterctl schedules         # what runs by the clock, next and last run\n"
    "musterctl schedules --json\n";

static const struct column columns[] = {
    {"name", "SCHEDULE", COLUMN_TEXT},
    {"kind", "KIND", COLUMN_TEXT},
    {"queue", NULL, COLUMN_TEXT},
    {"every_ms", "EVERY", COLUMN_MS},
    {"cron", "CRON", COLUMN_TEXT},
    {"timezone", "ZONE", COLUMN_TEXT},
    {"missed", NULL, COLUMN_TEXT},
    {"overlap", NULL, COLUMN_TEXT},
    {"source", NULL, COLUMN_TEXT},
    {"paused", "PAUSED", COLUMN_BOOL},
    {"next_at", "NEXT", COLUMN_TIME},
    {"last_tick", "LAST", COLUMN_TIME},
    {"last_outcome", "OUTCOME", COLUMN_TEXT},
    {"last_task", "TASK", COLUMN_ID},
    {"last_state", "STATE", COLUMN_STATE},
    {0},
};

int
verb_schedules(struct ctl *ctl)
{
	static const char sql[] =
	    "SELECT name, kind, queue,"
	    " (extract(epoch FROM every) * 1000)::bigint AS every_ms, cron,"
	    " CASE WHEN cron IS NOT NULL THEN timezone END AS timezone,"
	    " missed, overlap, source, paused_at IS NOT NULL AS paused,"
	    " (extract(epoch FROM next_at) * 1000000)::bigint AS next_at,"
	    " (extract(epoch FROM last_tick) * 1000000)::bigint AS last_tick,"
	    " last_outcome, last_task, last_state"
	    " FROM muster.schedules ORDER BY name";
	PGresult *result;
	int code = session_connect(ctl);

	if (code == 0)
		code = session_query(ctl, &result, sql, 0, NULL);
	if (code != 0)
		return code;
	table_print(ctl, columns, result, "nothing runs by the clock");
	PQclear(result);
	return CTL_DONE;
}
