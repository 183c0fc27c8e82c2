#include "ctl/columns.h"

#define US(column)                                                             \
	"(extract(epoch FROM " column ") * 1000000)::bigint AS " column

const char task_select[] =
    "SELECT id, flow_id, name, kind, queue, state, priority, attempt,"
    " max_attempts, " US("run_at") ", " US("created_at") ", " US(
	"finished_at") ", ran_ms, worker_id, error";

const struct column task_columns[] = {
    {"id", "TASK", COLUMN_ID},
    {"flow_id", "FLOW", COLUMN_ID},
    {"name", "NAME", COLUMN_TEXT},
    {"kind", "KIND", COLUMN_TEXT},
    {"queue", "QUEUE", COLUMN_TEXT},
    {"state", "STATE", COLUMN_STATE},
    {"priority", NULL, COLUMN_NUMBER},
    {"attempt", "TRY", COLUMN_NUMBER},
    {"max_attempts", NULL, COLUMN_NUMBER},
    {"run_at", NULL, COLUMN_TIME},
    {"created_at", "CREATED", COLUMN_TIME},
    {"finished_at", NULL, COLUMN_TIME},
    {"ran_ms", "RAN", COLUMN_MS},
    {"worker_id", NULL, COLUMN_ID},
    {"error", "ERROR", COLUMN_TEXT},
    {0},
};

const struct column task_details[] = {
    {"id", "task", COLUMN_ID},
    {"flow_id", "flow", COLUMN_ID},
    {"name", "name", COLUMN_TEXT},
    {"kind", "kind", COLUMN_TEXT},
    {"queue", "queue", COLUMN_TEXT},
    {"state", "state", COLUMN_STATE},
    {"priority", "priority", COLUMN_NUMBER},
    {"attempt", "attempt", COLUMN_NUMBER},
    {"max_attempts", "at most", COLUMN_NUMBER},
    {"run_at", "run at", COLUMN_TIME},
    {"created_at", "created", COLUMN_TIME},
    {"finished_at", "finished", COLUMN_TIME},
    {"ran_ms", "ran", COLUMN_MS},
    {"worker_id", "worker", COLUMN_ID},
    {"payload", "payload", COLUMN_JSON},
    {"result", "result", COLUMN_JSON},
    {"error", "error", COLUMN_TEXT},
    {0},
};
