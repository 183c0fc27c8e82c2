/* Changes as lines, for files, pipes and programs. */
#include <stdio.h>
#include <string.h>

#include "ctl/format.h"
#include "ctl/json.h"
#include "ctl/run.h"
#include "ctl/terminal.h"

static void
json_change(const struct watch_task *task)
{
	struct json json = JSON_EMPTY;
	struct text id = TEXT_EMPTY;

	text_add_int(&id, task->id);
	json_begin(&json, '{');
	json_add_key(&json, "task");
	json_add_string(&json, text_string(&id));
	json_add_key(&json, "name");
	json_add_string(&json, task->name);
	json_add_key(&json, "state");
	json_add_string(&json, state_name(task->state));
	json_add_key(&json, "attempt");
	json_add_number(&json, task->attempt);
	if (task->ran_ms >= 0) {
		json_add_key(&json, "ran_ms");
		json_add_number(&json, task->ran_ms);
	}
	json_add_key(&json, "error");
	json_add_string(&json, watch_has_error(task) ? task->error : NULL);
	json_end(&json, '}');
	json_print(&json);
	text_free(&id);
}

static void
text_change(const struct watch_task *task)
{
	struct text line = TEXT_EMPTY;
	const char *state = state_name(task->state);

	format_time(&line, wall_now_us());
	text_addf(&line, " %lld ", (long long)task->id);
	text_add_escaped(&line, task->name, strlen(task->name));
	text_addf(&line, " %s%s%s", terminal_state_colour(state), state,
	    terminal_plain());
	if (state_is_final(task->state) && task->ran_ms >= 0) {
		text_add_string(&line, " after ");
		format_ms(&line, task->ran_ms);
	}
	if (task->attempt > 1)
		text_addf(&line, ", attempt %d", task->attempt);
	if (watch_has_error(task)) {
		text_add_string(&line, ": ");
		format_error(&line, task->error);
	}
	puts(text_string(&line));
	text_free(&line);
}

void
run_print_change(const struct ctl *ctl, const struct watch *watch,
    const struct watch_task *task)
{
	(void)watch;
	if (ctl_json(ctl))
		json_change(task);
	else
		text_change(task);
}

static void
json_flow_end(const struct watch *watch)
{
	struct json json = JSON_EMPTY;
	struct text id = TEXT_EMPTY;

	text_add_int(&id, watch->flow);
	json_begin(&json, '{');
	json_add_key(&json, "flow");
	json_add_string(&json, text_string(&id));
	json_add_key(&json, "state");
	json_add_string(&json, watch->flow_state);
	for (int i = STATE_SUCCEEDED; i < STATES; i++) {
		json_add_key(&json, state_name((enum task_state)i));
		json_add_number(&json, (int64_t)watch->counts[i]);
	}
	json_add_key(&json, "error");
	json_add_string(&json, watch->flow_error);
	json_end(&json, '}');
	json_print(&json);
	text_free(&id);
}

static void
text_flow_end(const struct watch *watch)
{
	struct text line = TEXT_EMPTY;
	const char *comma = ": ";

	text_addf(&line, "flow %lld %s%s%s after ", (long long)watch->flow,
	    terminal_state_colour(watch->flow_state), watch->flow_state,
	    terminal_plain());
	format_ms(&line, mono_ms_between(watch->started, mono_now()));
	for (int i = STATE_SUCCEEDED; i < STATES; i++) {
		if (watch->counts[i] == 0)
			continue;
		text_addf(&line, "%s%zu %s", comma, watch->counts[i],
		    state_name((enum task_state)i));
		comma = ", ";
	}
	if (watch->flow_error != NULL) {
		text_add_string(&line, "; ");
		format_error(&line, watch->flow_error);
	}
	puts(text_string(&line));
	text_free(&line);
}

void
run_print_end(const struct ctl *ctl, const struct watch *watch)
{
	if (watch->flow == 0)
		return;
	if (ctl_json(ctl))
		json_flow_end(watch);
	else
		text_flow_end(watch);
}
