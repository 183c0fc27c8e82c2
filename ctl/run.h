/* A submitted flow before the eyes of the one who started it. */
#ifndef CTL_RUN_H
#define CTL_RUN_H

#include "ctl/flow.h"
#include "ctl/tree.h"
#include "ctl/watch.h"

/* Follows it to its end: a tree that is drawn again and again on a terminal,
 * a line a change elsewhere, JSON lines with --json. An interrupt cancels the
 * flow. Returns the exit code. */
int run_follow(struct ctl *ctl, const struct flow *flow, int64_t flow_id);

/* The tree of one moment, at most `height` lines of at most `width` columns;
 * returns how many lines were added. */
#define RUN_NO_TASK SIZE_MAX /* or it was not created yet */
struct run_view {
	const struct flow *flow;
	const struct tree *tree;
	const struct watch *watch;
	const size_t *task_of; /* of a task of the flow: in watch->tasks, */
	int width, height;
};
int run_draw(const struct run_view *view, struct text *ret_text);

/* What a blocked task waits for: "waits for a, b and 3 more". */
void run_add_waits(struct text *text, const struct run_view *view, size_t task);

/* One change as a line: for `run` off a terminal and `tail`. */
void run_print_change(const struct ctl *ctl, const struct watch *watch,
    const struct watch_task *task);
/* The end of a flow or task, in a line. */
void run_print_end(const struct ctl *ctl, const struct watch *watch);

#endif
