#include "ctl/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/interrupt.h"
#include "ctl/session.h"

enum {
	PAUSE_LEAST_MS = 250,
	PAUSE_MOST_MS = 10000,
	COST_FACTOR = 10, /* a look takes at most a tenth of the time */
	AWAY_TRIES = 60,  /* a second apart */
};

static const char select_task[] =
    "SELECT id, coalesce(name, kind) AS name, state, attempt, ran_ms, error,"
    " NULL AS items, NULL AS ended, NULL AS failed"
    " FROM muster.task_status WHERE id = $1";

static const char select_tasks[] = WATCH_FLOWS
    "SELECT t.id, f.path || coalesce(t.name, t.kind) AS name, t.state,"
    " t.attempt, t.ran_ms, t.error, m.total AS items,"
    " m.total - m.open AS ended, m.failed"
    " FROM f JOIN muster.task_status t ON t.flow_id = f.flow_id"
    " LEFT JOIN muster.containers m ON m.task_id = t.id AND m.kind = 'map'"
    " ORDER BY t.id";

void
watch_start(struct watch *watch, int64_t flow, int64_t task)
{
	*watch = (struct watch){.flow = flow, .task = task};
	watch->started = mono_now();
	watch->pause_ms = PAUSE_LEAST_MS;
}

void
watch_free(struct watch *watch)
{
	for (size_t i = 0; i < watch->count; i++) {
		free(watch->tasks[i].name);
		free(watch->tasks[i].error);
	}
	free(watch->tasks);
	free(watch->flow_name);
	free(watch->flow_state);
	free(watch->flow_error);
}

static int
compare_ids(const void *key, const void *task)
{
	int64_t id = *(const int64_t *)key;
	int64_t other = ((const struct watch_task *)task)->id;

	return (id > other) - (id < other);
}

struct watch_task *
watch_find(struct watch *watch, int64_t id)
{
	return watch->count == 0 ? NULL
				 : bsearch(&id, watch->tasks, watch->count,
				       sizeof(*watch->tasks), compare_ids);
}

bool
watch_has_error(const struct watch_task *task)
{
	return task->error != NULL && task->state != STATE_RUNNING &&
	       task->state != STATE_SUCCEEDED;
}

static void
set_string(char **string, const char *value)
{
	free(*string);
	*string = *value == '\0' ? NULL : strdup(value);
	if (*value != '\0' && *string == NULL)
		abort();
}

static int64_t
number(const PGresult *rows, int row, const char *column)
{
	return strtoll(session_value(rows, row, column), NULL, 10);
}

/* Whether the row says something new about the task. */
static bool
take_row(struct watch_task *task, const PGresult *rows, int row)
{
	enum task_state state = state_parse(session_value(rows, row, "state"));
	const char *ran = session_value(rows, row, "ran_ms");
	int attempt =
	    (int)strtol(session_value(rows, row, "attempt"), NULL, 10);
	bool changed = task->state != state || task->attempt != attempt;

	if (task->state != state)
		task->since = mono_now();
	task->state = state;
	task->attempt = attempt;
	task->ran_ms = *ran == '\0' ? -1 : strtoll(ran, NULL, 10);
	task->items = number(rows, row, "items");
	task->ended = number(rows, row, "ended");
	task->failed = number(rows, row, "failed");
	set_string(&task->error, session_value(rows, row, "error"));
	return changed;
}

/* The task of a row: rows and tasks both come by id, so the search goes on
 * where the last one ended. New ones are put in. */
static struct watch_task *
find_task(struct watch *watch, size_t *at, const PGresult *rows, int row)
{
	int64_t id = strtoll(session_value(rows, row, "id"), NULL, 10);
	size_t count = watch->count;

	while (*at < count && watch->tasks[*at].id < id)
		++*at;
	if (*at < count && watch->tasks[*at].id == id)
		return &watch->tasks[*at];
	if ((count & (count - 1)) == 0) {
		watch->tasks = reallocarray(watch->tasks,
		    count == 0 ? 1 : count * 2, sizeof(*watch->tasks));
		if (watch->tasks == NULL)
			abort();
	}
	memmove(&watch->tasks[*at + 1], &watch->tasks[*at],
	    (count - *at) * sizeof(*watch->tasks));
	watch->tasks[*at] = (struct watch_task){.id = id};
	set_string(&watch->tasks[*at].name, session_value(rows, row, "name"));
	watch->count++;
	return &watch->tasks[*at];
}

static void
take_rows(struct watch *watch, const PGresult *rows, watch_change_cb *on_change,
    void *argument)
{
	size_t at = 0;

	memset(watch->counts, 0, sizeof(watch->counts));
	for (int row = 0; row < PQntuples(rows); row++) {
		struct watch_task *task = find_task(watch, &at, rows, row);
		bool changed = take_row(task, rows, row);

		watch->counts[task->state]++;
		if (changed)
			on_change(watch, task, argument);
	}
}

static void
take_flow(struct watch *watch, const PGresult *rows)
{
	set_string(&watch->flow_name, session_value(rows, 0, "name"));
	set_string(&watch->flow_state, session_value(rows, 0, "state"));
	set_string(&watch->flow_error, session_value(rows, 0, "error"));
	watch->over = *session_value(rows, 0, "over") == 't';
	watch->succeeded =
	    strcmp(session_value(rows, 0, "state"), "succeeded") == 0;
}

/* Read before the tasks: a flow that is over has no change left to show. */
static int
look_at_flow(struct ctl *ctl, struct watch *watch)
{
	static const char sql[] =
	    "SELECT name, state, error, finished_at IS NOT NULL AS over"
	    " FROM muster.flow_status WHERE id = $1";
	char id[24];
	const char *values[] = {id};
	PGresult *rows;
	int code;

	snprintf(id, sizeof(id), "%lld", (long long)watch->flow);
	code = session_query(ctl, &rows, sql, 1, values);
	if (code != 0)
		return code;
	if (PQntuples(rows) == 0)
		code = ctl_fail(CTL_FAILED, "there is no flow %s", id);
	else
		take_flow(watch, rows);
	PQclear(rows);
	return code;
}

static int
look_at_tasks(struct ctl *ctl, struct watch *watch, watch_change_cb *on_change,
    void *argument)
{
	char id[24];
	const char *values[] = {id};
	PGresult *rows;
	int code;

	snprintf(id, sizeof(id), "%lld",
	    (long long)(watch->flow != 0 ? watch->flow : watch->task));
	code = session_query(ctl, &rows,
	    watch->flow != 0 ? select_tasks : select_task, 1, values);
	if (code != 0)
		return code;
	if (watch->flow == 0 && PQntuples(rows) == 0)
		code = ctl_fail(CTL_FAILED, "there is no task %s", id);
	else
		take_rows(watch, rows, on_change, argument);
	PQclear(rows);
	if (watch->flow == 0 && watch->count > 0) {
		watch->over = state_is_final(watch->tasks[0].state);
		watch->succeeded = watch->tasks[0].state == STATE_SUCCEEDED;
	}
	return code;
}

static int
look_once(struct ctl *ctl, struct watch *watch, watch_change_cb *on_change,
    void *argument)
{
	int code = ctl->pg != NULL ? 0 : session_connect(ctl);

	if (code == 0 && watch->flow != 0)
		code = look_at_flow(ctl, watch);
	if (code == 0)
		code = look_at_tasks(ctl, watch, on_change, argument);
	if (code == CTL_AGAIN)
		session_disconnect(ctl);
	return code;
}

int
watch_look(struct ctl *ctl, struct watch *watch, watch_change_cb *on_change,
    void *argument)
{
	struct mono before = mono_now();
	int code = look_once(ctl, watch, on_change, argument);
	int64_t cost;

	ctl_set_quiet(true); /* the first failure was told */
	for (int i = 0; code == CTL_AGAIN && i < AWAY_TRIES; i++) {
		if (!interrupt_wait_ms(1000))
			break;
		before = mono_now();
		code = look_once(ctl, watch, on_change, argument);
	}
	ctl_set_quiet(false);
	cost = mono_ms_between(before, mono_now()) * COST_FACTOR;
	watch->pause_ms = cost < PAUSE_LEAST_MS	 ? PAUSE_LEAST_MS
			  : cost > PAUSE_MOST_MS ? PAUSE_MOST_MS
						 : cost;
	return code;
}
