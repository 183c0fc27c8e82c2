#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/interrupt.h"
#include "ctl/request.h"
#include "ctl/run.h"
#include "ctl/terminal.h"
#include "ctl/tree.h"

enum { CANCEL_LIMIT_MS = 15000, REDRAW_MS = 250 };

struct follow {
	struct ctl *ctl;
	struct flow *flow; /* owned, flat */
	struct watch watch;
	struct tree tree;
	size_t *task_of; /* owned */
	size_t matched;	 /* so many tasks of the database are in it */
	bool live;	 /* drawn on a terminal */
	int drawn;	 /* lines on it */
};

static void
on_change(
    const struct watch *watch, const struct watch_task *task, void *argument)
{
	struct follow *follow = argument;

	if (!follow->live)
		run_print_change(follow->ctl, watch, task);
}

static int
compare_names(const void *a, const void *b, void *argument)
{
	const struct watch_task *tasks = argument;

	return strcmp(
	    tasks[*(const size_t *)a].name, tasks[*(const size_t *)b].name);
}

struct name_key {
	const char *name;
	const struct watch_task *tasks;
};

static int
compare_name(const void *key, const void *member)
{
	const struct name_key *wanted = key;

	return strcmp(
	    wanted->name, wanted->tasks[*(const size_t *)member].name);
}

/* Which task of the database is which of the file: by their names. What is in
 * a flow that was not opened yet is none. False when one is in no file. */
static bool
match_names(struct follow *follow)
{
	size_t count = follow->watch.count, known = 0;
	size_t *sorted = calloc(count + 1, sizeof(*sorted));

	if (sorted == NULL)
		abort();
	for (size_t i = 0; i < count; i++)
		sorted[i] = i;
	qsort_r(
	    sorted, count, sizeof(*sorted), compare_names, follow->watch.tasks);
	for (size_t i = 0; i < follow->flow->count; i++) {
		struct name_key key = {
		    follow->flow->tasks[i].name, follow->watch.tasks};
		const size_t *found =
		    bsearch(&key, sorted, count, sizeof(*sorted), compare_name);

		follow->task_of[i] = found != NULL ? *found : RUN_NO_TASK;
		known += found != NULL;
	}
	free(sorted);
	follow->matched = count;
	return known == count;
}

static void
draw(struct follow *follow)
{
	struct run_view view = {
	    .flow = follow->flow,
	    .tree = &follow->tree,
	    .watch = &follow->watch,
	    .task_of = follow->task_of,
	    .width = terminal_width() - 1,
	    .height = terminal_height(),
	};
	struct text text = TEXT_EMPTY;

	if (follow->drawn > 0)
		text_addf(&text, "\033[%dA\r\033[J", follow->drawn);
	follow->drawn = run_draw(&view, &text);
	fputs(text_string(&text), stdout);
	fflush(stdout);
	text_free(&text);
}

/* Between two looks a live tree's clocks go on. */
static void
pause_between(struct follow *follow)
{
	struct mono until = mono_add_ms(mono_now(), follow->watch.pause_ms);

	fflush(stdout);
	while (!interrupt_seen()) {
		int64_t left = mono_ms_between(mono_now(), until);

		if (left <= 0 ||
		    !interrupt_wait_ms(left < REDRAW_MS ? left : REDRAW_MS))
			return;
		if (follow->live && left > REDRAW_MS)
			draw(follow);
	}
}

static int
look(struct follow *follow)
{
	int code = watch_look(follow->ctl, &follow->watch, on_change, follow);

	if (code != 0)
		return code;
	if (follow->live && follow->matched != follow->watch.count &&
	    !match_names(follow))
		follow->live = false;
	if (follow->live)
		draw(follow);
	return 0;
}

/* Asked for by an interrupt: the flow is cancelled, and its end awaited for
 * a moment; running tasks have their grace time. */
static int
cancel(struct follow *follow)
{
	struct mono until = mono_add_ms(mono_now(), CANCEL_LIMIT_MS);
	int code;

	fprintf(stderr, "musterctl: cancelling flow %lld\n",
	    (long long)follow->watch.flow);
	follow->drawn = 0;
	interrupt_rearm();
	code = request_cancel_flow(follow->ctl, follow->watch.flow);
	while (code == 0 && !follow->watch.over && !interrupt_seen() &&
	       mono_ms_between(mono_now(), until) > 0) {
		code = look(follow);
		if (code == 0 && !follow->watch.over)
			pause_between(follow);
	}
	if (code == 0 && follow->watch.over)
		run_print_end(follow->ctl, &follow->watch);
	return CTL_INTERRUPTED;
}

static int
follow_to_end(struct follow *follow)
{
	int code;

	for (;;) {
		code = look(follow);
		if (interrupt_seen())
			return cancel(follow);
		if (code != 0)
			return code;
		if (follow->watch.over)
			break;
		pause_between(follow);
	}
	run_print_end(follow->ctl, &follow->watch);
	return follow->watch.succeeded ? CTL_DONE : CTL_FAILED;
}

int
run_follow(struct ctl *ctl, const struct flow *flow, int64_t flow_id)
{
	struct follow follow = {
	    .ctl = ctl,
	    .flow = flow_flatten(flow),
	    .live = terminal_is_person() && !ctl_json(ctl),
	};
	int code;

	follow.task_of = calloc(follow.flow->count, sizeof(size_t));
	if (follow.task_of == NULL)
		abort();
	interrupt_hold();
	tree_lay_out(&follow.tree, follow.flow);
	watch_start(&follow.watch, flow_id, 0);
	code = follow_to_end(&follow);
	watch_free(&follow.watch);
	tree_free(&follow.tree);
	free(follow.task_of);
	flow_free(follow.flow);
	return code;
}
