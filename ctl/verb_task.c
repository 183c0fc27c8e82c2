/* musterctl task */
#include <stdio.h>
#include <stdlib.h>

#include "ctl/channel.h"
#include "ctl/columns.h"
#include "ctl/format.h"
#include "ctl/session.h"
#include "ctl/state.h"
#include "ctl/terminal.h"
#include "ctl/told.h"
#include "ctl/verb_list.h"
#include "common/clock.h"

const char task_examples[] =
    "musterctl task 42               # facts, attempts, needs, result\n"
    "musterctl task 42 --json | jq .task.result\n";

static const struct column attempt_columns[] = {
    {"attempt", "TRY", COLUMN_NUMBER},
    {"at", "AT", COLUMN_TIME},
    {"ran_ms", "RAN", COLUMN_MS},
    {"outcome", "OUTCOME", COLUMN_TEXT},
    {"worker_id", "WORKER", COLUMN_ID},
    {"error", "ERROR", COLUMN_TEXT},
    {0},
};

static const struct column need_columns[] = {
    {"task", "NEEDS", COLUMN_ID},
    {"name", "NAME", COLUMN_TEXT},
    {"needs_when", "WHEN", COLUMN_TEXT},
    {"state", "STATE", COLUMN_STATE},
    {0},
};

static const struct column held_columns[] = {
    {"kind", "HOLDS", COLUMN_TEXT},
    {"flow_id", "FLOW", COLUMN_ID},
    {"total", "TASKS", COLUMN_NUMBER},
    {"open", "OPEN", COLUMN_NUMBER},
    {"succeeded", "SUCCEEDED", COLUMN_NUMBER},
    {"failed", "FAILED", COLUMN_NUMBER},
    {"cancelled", "CANCELLED", COLUMN_NUMBER},
    {"skipped", "SKIPPED", COLUMN_NUMBER},
    {"max_running", NULL, COLUMN_NUMBER},
    {0},
};

struct task_view {
	PGresult *task, *attempts, *needs; /* owned */
	PGresult *held;			   /* of a map or nested flow; owned */
	struct text progress;		   /* the last; empty: none */
};

static int
query(struct ctl *ctl, const char *id, struct task_view *view)
{
	static const char attempts[] =
	    "SELECT attempt, (extract(epoch FROM at) * 1000000)::bigint AS at,"
	    " ran_ms, worker_id, outcome, error FROM muster.attempts"
	    " WHERE task_id = $1 ORDER BY attempts.at";
	static const char needs[] =
	    "SELECT n.needs_id AS task, coalesce(t.name, t.kind) AS name,"
	    " n.needs_when, t.state FROM muster.task_needs n"
	    " LEFT JOIN muster.task_status t ON t.id = n.needs_id"
	    " WHERE n.task_id = $1 ORDER BY n.needs_id LIMIT 1000";
	static const char held[] =
	    "SELECT * FROM muster.containers WHERE task_id = $1";
	const char *values[] = {id};
	struct text sql = TEXT_EMPTY;
	int code;

	text_addf(&sql,
	    "%s, payload, result FROM muster.task_status WHERE id = $1",
	    task_select);
	code = session_query(ctl, &view->task, text_string(&sql), 1, values);
	text_free(&sql);
	if (code == 0 && PQntuples(view->task) == 0)
		return ctl_fail(CTL_FAILED, "there is no task %s", id);
	if (code == 0)
		code = session_query(ctl, &view->attempts, attempts, 1, values);
	if (code == 0)
		code = session_query(ctl, &view->needs, needs, 1, values);
	if (code == 0)
		code = session_query(ctl, &view->held, held, 1, values);
	return code;
}

/* Of a task that runs; without Redis, or when it is away, there is none. */
static void
look_up_progress(struct ctl *ctl, struct task_view *view)
{
	const char *state = session_value(view->task, 0, "state");
	const char *id = session_value(view->task, 0, "id");
	struct channel *channel;

	if (state_parse(state) != STATE_RUNNING)
		return;
	channel = channel_new(ctl, NULL, NULL);
	channel_last(channel, strtoll(id, NULL, 10), &view->progress);
	channel_free(channel);
}

static void
print_progress(const struct text *progress)
{
	struct text line = TEXT_EMPTY;
	struct json_value message;
	int64_t at;

	if (!json_value_of(text_string(progress), progress->length, &message))
		return;
	told_add_progress(&line, message);
	at = told_at_us(message);
	if (at > 0 && at <= wall_now_us()) {
		text_add_string(&line, "  (");
		format_ms(&line, (wall_now_us() - at) / 1000);
		text_add_string(&line, " ago)");
	}
	printf("%sprogress%s  %s\n", terminal_dim(), terminal_plain(),
	    text_string(&line));
	text_free(&line);
}

static void
print_json(const struct task_view *view)
{
	struct json json = JSON_EMPTY;

	json_begin(&json, '{');
	json_add_key(&json, "task");
	json_begin(&json, '{');
	table_json_members(&json, task_details, view->task, 0);
	told_json_progress(&json, &view->progress);
	json_end(&json, '}');
	json_add_key(&json, "attempts");
	table_json(&json, attempt_columns, view->attempts);
	json_add_key(&json, "needs");
	table_json(&json, need_columns, view->needs);
	if (PQntuples(view->held) > 0) {
		json_add_key(&json, "holds");
		table_json(&json, held_columns, view->held);
	}
	json_end(&json, '}');
	json_print(&json);
}

static void
print_people(const struct ctl *ctl, const struct task_view *view)
{
	table_print_record(task_details, view->task, 0);
	print_progress(&view->progress);
	if (PQntuples(view->attempts) > 0) {
		putchar('\n');
		table_print(ctl, attempt_columns, view->attempts, "");
	}
	if (PQntuples(view->needs) > 0) {
		putchar('\n');
		table_print(ctl, need_columns, view->needs, "");
	}
	if (PQntuples(view->held) > 0) {
		putchar('\n');
		table_print(ctl, held_columns, view->held, "");
	}
}

int
verb_task(struct ctl *ctl)
{
	struct task_view view = {0};
	int64_t id;
	int code = format_id_argument(ctl, &id);

	if (code == 0)
		code = session_connect(ctl);
	if (code == 0)
		code = query(ctl, ctl_argument(ctl, 0), &view);
	if (code == 0)
		look_up_progress(ctl, &view);
	if (code == 0 && ctl_json(ctl))
		print_json(&view);
	else if (code == 0)
		print_people(ctl, &view);
	PQclear(view.task);
	PQclear(view.attempts);
	PQclear(view.needs);
	PQclear(view.held);
	text_free(&view.progress);
	return code;
}
