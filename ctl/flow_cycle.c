#include "ctl/flow_cycle.h"

#include <stdlib.h>

enum { SHOWN = 12 }; /* names of a path at each end */

enum colour { UNSEEN, OPEN, DONE };

/* A walk in depth with a stack of its own: a chain may be 100,000 long. */
struct walk {
	const struct flow *flow;
	unsigned char *colours;
	size_t *stack; /* tasks, each needed by the one below */
	size_t *next;  /* of each task: the need to look at */
	size_t depth;
};

static void
push(struct walk *walk, size_t task)
{
	walk->colours[task] = OPEN;
	walk->stack[walk->depth++] = task;
}

/* One step of the walk; true: `ret_task` is open already, a cycle. */
static bool
step(struct walk *walk, size_t *ret_task)
{
	size_t at = walk->stack[walk->depth - 1];
	const struct flow_task *task = &walk->flow->tasks[at];
	size_t need;

	if (walk->next[at] == task->need_count) {
		walk->colours[at] = DONE;
		walk->depth--;
		return false;
	}
	need = task->needs[walk->next[at]++].task;
	if (walk->colours[need] == OPEN) {
		*ret_task = need;
		return true;
	}
	if (walk->colours[need] == UNSEEN)
		push(walk, need);
	return false;
}

static bool
search(struct walk *walk, size_t *ret_task)
{
	for (size_t i = 0; i < walk->flow->count; i++) {
		if (walk->colours[i] == UNSEEN)
			push(walk, i);
		while (walk->depth > 0)
			if (step(walk, ret_task))
				return true;
	}
	return false;
}

static void
describe(const struct walk *walk, size_t task, struct text *path)
{
	size_t from = walk->depth, length;

	while (walk->stack[from - 1] != task)
		from--;
	length = walk->depth - (from - 1);
	for (size_t i = 0; i < length; i++) {
		size_t at = walk->stack[from - 1 + i];

		if (i == SHOWN && length > 2 * SHOWN) {
			text_addf(path, "(%zu more) → ", length - 2 * SHOWN);
			i = length - SHOWN;
			at = walk->stack[from - 1 + i];
		}
		text_addf(path, "%s → ", walk->flow->tasks[at].name);
	}
	text_add_string(path, walk->flow->tasks[task].name);
}

bool
flow_cycle_find(
    const struct flow *flow, struct text *ret_path, size_t *ret_task)
{
	size_t count = flow->count + 1;
	struct walk walk = {
	    .flow = flow,
	    .colours = calloc(count, 1),
	    .stack = calloc(count, sizeof(size_t)),
	    .next = calloc(count, sizeof(size_t)),
	};
	bool found;

	if (walk.colours == NULL || walk.stack == NULL || walk.next == NULL)
		abort();
	found = search(&walk, ret_task);
	if (found)
		describe(&walk, *ret_task, ret_path);
	free(walk.colours);
	free(walk.stack);
	free(walk.next);
	return found;
}
