/* The tree of a running flow as lines. */
#include <stdlib.h>
#include <string.h>

#include "ctl/format.h"
#include "ctl/run.h"
#include "ctl/terminal.h"
#include "ctl/tree.h"

enum { BAR_WIDTH = 30, ITEMS_WIDTH = 10, WAITS_SHOWN = 3 };

static const struct watch_task *
task_of(const struct run_view *view, size_t task)
{
	static const struct watch_task absent = {
	    .state = STATE_BLOCKED, .ran_ms = -1};
	size_t at = view->task_of[task];

	return at == RUN_NO_TASK ? &absent : &view->watch->tasks[at];
}

void
run_add_waits(struct text *text, const struct run_view *view, size_t task)
{
	const struct flow_task *of = &view->flow->tasks[task];
	size_t open = 0;

	for (size_t i = 0; i < of->need_count; i++) {
		size_t need = of->needs[i].task;
		const char *name = view->flow->tasks[need].name;

		if (state_is_final(task_of(view, need)->state))
			continue;
		if (++open > WAITS_SHOWN)
			continue;
		text_add_string(text, open == 1 ? "waits for " : ", ");
		text_add_escaped(text, name, strlen(name));
	}
	if (open > WAITS_SHOWN)
		text_addf(text, " and %zu more", open - WAITS_SHOWN);
}

/* How far a map is. */
static void
add_items(struct text *text, const struct watch_task *seen)
{
	int64_t full = seen->ended * ITEMS_WIDTH / seen->items;

	for (int64_t i = 0; i < ITEMS_WIDTH; i++)
		text_add_string(text, i < full ? "█" : "░");
	text_addf(text, " %lld of %lld", (long long)seen->ended,
	    (long long)seen->items);
	if (seen->failed > 0)
		text_addf(text, ", %lld failed", (long long)seen->failed);
	text_add_string(text, "  ");
}

/* What there is to say about a task beside its name and state. */
static void
add_remark(struct text *text, const struct run_view *view, size_t task)
{
	const struct watch_task *seen = task_of(view, task);

	if (seen->items > 0)
		add_items(text, seen);
	if (seen->state == STATE_RUNNING)
		format_ms(text, mono_ms_between(seen->since, mono_now()));
	else if (state_is_final(seen->state) && seen->ran_ms >= 0)
		format_ms(text, seen->ran_ms);
	else if (seen->state == STATE_BLOCKED)
		run_add_waits(text, view, task);
	if (seen->attempt > 1)
		text_addf(text, "%sattempt %d", text->length > 0 ? ", " : "",
		    seen->attempt);
	if (watch_has_error(seen)) {
		text_add_string(text, text->length > 0 ? ": " : "");
		format_error(text, seen->error);
	}
}

static void
add_row(struct text *text, const struct run_view *view, size_t row)
{
	size_t task = view->tree->rows[row].task;
	const struct watch_task *seen = task_of(view, task);
	const char *name = view->flow->tasks[task].name;
	const char *state = state_name(seen->state);
	struct text left = TEXT_EMPTY, remark = TEXT_EMPTY;
	int used;

	tree_add_branches(&left, view->tree, row);
	add_remark(&remark, view, task);
	text_addf(text, "%s%s%s", terminal_dim(), text_string(&left),
	    terminal_plain());
	text_addf(text, "%s%s ", terminal_state_colour(state),
	    state_mark(seen->state));
	used = terminal_columns(text_string(&left)) + 2;
	text_clear(&left);
	text_add_escaped(&left, name, strlen(name));
	terminal_add_cut(text, text_string(&left), view->width - used);
	text_addf(text, "%s ", terminal_plain());
	used += terminal_columns(text_string(&left)) + 1;
	if (used < view->width) /* else the name was cut */
		terminal_add_cut(
		    text, text_string(&remark), view->width - used);
	text_add_char(text, '\n');
	text_free(&left);
	text_free(&remark);
}

static size_t
count_final(const struct watch *watch)
{
	return watch->counts[STATE_SUCCEEDED] + watch->counts[STATE_FAILED] +
	       watch->counts[STATE_CANCELLED] + watch->counts[STATE_SKIPPED];
}

static void
add_counts(struct text *text, const struct watch *watch)
{
	text_addf(text, "%zu of %zu", count_final(watch), watch->count);
	for (int i = STATE_ARRIVING; i < STATES; i++)
		if (watch->counts[i] > 0 && i != STATE_SUCCEEDED)
			text_addf(text, ", %zu %s", watch->counts[i],
			    state_name((enum task_state)i));
	text_add_string(text, "  ");
	format_ms(text, mono_ms_between(watch->started, mono_now()));
}

/* A line that wraps would be counted wrongly when it is drawn over. */
static void
add_bar(struct text *text, const struct run_view *view)
{
	const struct watch *watch = view->watch;
	struct text bar = TEXT_EMPTY;

	terminal_add_bar(&bar, count_final(watch), watch->count);
	text_add_char(&bar, ' ');
	add_counts(&bar, watch);
	terminal_add_cut(text, text_string(&bar), view->width);
	text_add_char(text, '\n');
	text_free(&bar);
}

/* Which states are shown first when not all rows fit. */
static int
importance(enum task_state state)
{
	switch (state) {
	case STATE_FAILED:
		return 0;
	case STATE_RUNNING:
		return 1;
	case STATE_CANCELLED:
	case STATE_SKIPPED:
	case STATE_SUCCEEDED:
		return 4;
	case STATE_BLOCKED:
		return 3;
	default:
		return 2;
	}
}

/* How many rows of each importance are shown when `room` is all there is. */
static void
share_room(const struct run_view *view, size_t room, size_t ret_shares[5])
{
	size_t counts[5] = {0};

	for (int i = 0; i < STATES; i++)
		counts[importance((enum task_state)i)] +=
		    view->watch->counts[i];
	for (int i = 0; i < 5; i++) {
		ret_shares[i] = counts[i] < room ? counts[i] : room;
		room -= ret_shares[i];
	}
}

static int
add_rows(struct text *text, const struct run_view *view, size_t room)
{
	size_t shares[5], shown = 0, count = view->tree->count;
	bool all = count <= room;

	share_room(view, all ? room : room - 1, shares);
	for (int i = 0; all && i < 5; i++)
		shares[i] = count; /* what is not created is in no count */
	for (size_t row = 0; row < count; row++) {
		size_t task = view->tree->rows[row].task;
		int rank = importance(task_of(view, task)->state);

		if (shares[rank] == 0)
			continue;
		shares[rank]--;
		shown++;
		add_row(text, view, row);
	}
	if (!all)
		text_addf(text, "%s… and %zu more%s\n", terminal_dim(),
		    count - shown, terminal_plain());
	return (int)shown + !all;
}

int
run_draw(const struct run_view *view, struct text *ret_text)
{
	size_t room = view->height > 8 ? (size_t)view->height - 3 : 5;
	int lines = add_rows(ret_text, view, room);

	add_bar(ret_text, view);
	return lines + 1;
}
