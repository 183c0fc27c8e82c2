/* musterctl queues */
#include "ctl/session.h"
#include "ctl/table.h"
#include "ctl/verb_list.h"

const char queues_examples[] =
    "musterctl queues          # depth of each queue and kind, oldest waiting\n"
    "musterctl queues --json\n";

static const struct column columns[] = {
    {"queue", "QUEUE", COLUMN_TEXT},
    {"kind", "KIND", COLUMN_TEXT},
    {"ready", "READY", COLUMN_NUMBER},
    {"running", "RUNNING", COLUMN_NUMBER},
    {"scheduled", "SCHEDULED", COLUMN_NUMBER},
    {"blocked", "BLOCKED", COLUMN_NUMBER},
    {"waiting", "WAITING", COLUMN_NUMBER},
    {"arriving", "ARRIVING", COLUMN_NUMBER},
    {"oldest_ready_ms", "OLDEST", COLUMN_MS},
    {"paused", "PAUSED", COLUMN_BOOL},
    {"limits", "LIMITS", COLUMN_TEXT},
    {0},
};

int
verb_queues(struct ctl *ctl)
{
	static const char sql[] =
	    "SELECT queue, kind, ready, running, scheduled, blocked, waiting,"
	    " arriving, oldest_ready_ms::bigint, paused, (SELECT "
	    "string_agg(l.scope"
	    " || ' ' || l.use, ', ' ORDER BY l.scope DESC)"
	    "  FROM muster.limit_status l"
	    "  WHERE (l.scope, l.name) IN (('queue', queue), ('kind', kind)))"
	    " AS limits"
	    " FROM muster.queue_stats ORDER BY queue, kind";
	PGresult *result;
	int code = session_connect(ctl);

	if (code == 0)
		code = session_query(ctl, &result, sql, 0, NULL);
	if (code != 0)
		return code;
	table_print(ctl, columns, result, "no task waits or runs");
	PQclear(result);
	return CTL_DONE;
}
