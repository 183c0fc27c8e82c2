#include "ctl/tree.h"

#include <stdlib.h>
#include <string.h>

#define NOBODY SIZE_MAX

enum { DEPTH_SHOWN = 8, WALK_LIMIT = 2000 };

/* Arrays by task number; all owned. */
struct work {
	const struct flow *flow;
	size_t *order;	       /* every task after what it needs */
	size_t *open;	       /* needs that are not in `order` yet */
	size_t *parent;	       /* NOBODY: none */
	size_t *first, *next;  /* children, and their siblings */
	size_t *heads, *links; /* dependents of a task, as chained edges */
	int *depth;
};

static size_t *
numbers(size_t count)
{
	size_t *array = calloc(count + 1, sizeof(size_t));

	if (array == NULL)
		abort();
	return array;
}

static size_t
count_edges(const struct flow *flow)
{
	size_t edges = 0;

	for (size_t i = 0; i < flow->count; i++)
		edges += flow->tasks[i].need_count;
	return edges;
}

static void
work_start(struct work *work, const struct flow *flow)
{
	size_t count = flow->count;

	*work = (struct work){.flow = flow};
	work->order = numbers(count);
	work->open = numbers(count);
	work->parent = numbers(count);
	work->first = numbers(count);
	work->next = numbers(count);
	work->heads = numbers(count);
	work->links = numbers(2 * count_edges(flow));
	work->depth = calloc(count + 1, sizeof(int));
	if (work->depth == NULL)
		abort();
	for (size_t i = 0; i < count; i++)
		work->parent[i] = work->first[i] = work->next[i] =
		    work->heads[i] = NOBODY;
}

static void
work_end(struct work *work)
{
	free(work->order);
	free(work->open);
	free(work->parent);
	free(work->first);
	free(work->next);
	free(work->heads);
	free(work->links);
	free(work->depth);
}

/* Each edge is two numbers: the dependent, and the next edge of its need;
 * from the last task on, so that the first dependent stands first. */
static void
link_dependents(struct work *work)
{
	size_t edge = 0;

	for (size_t i = work->flow->count; i-- > 0;) {
		const struct flow_task *task = &work->flow->tasks[i];

		work->open[i] = task->need_count;
		for (size_t n = 0; n < task->need_count; n++, edge += 2) {
			work->links[edge] = i;
			work->links[edge + 1] =
			    work->heads[task->needs[n].task];
			work->heads[task->needs[n].task] = edge;
		}
	}
}

/* The order of the file as far as the needs allow it. */
static void
sort_by_needs(struct work *work)
{
	size_t filled = 0;

	link_dependents(work);
	for (size_t i = 0; i < work->flow->count; i++)
		if (work->open[i] == 0)
			work->order[filled++] = i;
	for (size_t at = 0; at < filled; at++) {
		size_t edge = work->heads[work->order[at]];

		for (; edge != NOBODY; edge = work->links[edge + 1])
			if (--work->open[work->links[edge]] == 0)
				work->order[filled++] = work->links[edge];
	}
}

/* The nearest common ancestor; a walk that gets too long ends at the top. */
static size_t
common_parent(const struct work *work, size_t a, size_t b)
{
	for (int steps = 0; a != b && steps < WALK_LIMIT; steps++) {
		if (a == NOBODY || b == NOBODY)
			return NOBODY;
		if (work->depth[a] >= work->depth[b])
			a = work->parent[a];
		else
			b = work->parent[b];
	}
	return a == b ? a : NOBODY;
}

static void
find_parent(struct work *work, size_t i)
{
	const struct flow_task *task = &work->flow->tasks[i];
	size_t parent = NOBODY;

	for (size_t n = 0; n < task->need_count; n++) {
		size_t need = task->needs[n].task;

		parent = n == 0 ? need : common_parent(work, parent, need);
	}
	work->parent[i] = parent;
	work->depth[i] = parent == NOBODY ? 0 : work->depth[parent] + 1;
}

/* In reverse, so that each child goes before its later siblings. */
static size_t
link_children(struct work *work)
{
	size_t top = NOBODY;

	for (size_t at = work->flow->count; at-- > 0;) {
		size_t i = work->order[at], parent = work->parent[i];
		size_t *head = parent == NOBODY ? &top : &work->first[parent];

		work->next[i] = *head;
		*head = i;
	}
	return top;
}

/* From top to bottom: down to a first child, else on to a sibling of it or
 * of one above. `row_of` holds the row of each task that was passed. */
static void
list_rows(struct tree *tree, const struct work *work, size_t top)
{
	size_t *row_of = numbers(work->flow->count);
	size_t i = top;

	while (i != NOBODY) {
		size_t parent = work->parent[i], row = tree->count++;

		row_of[i] = row;
		tree->rows[row] = (struct tree_row){
		    .task = i,
		    .parent = parent == NOBODY ? row : row_of[parent],
		    .depth = work->depth[i],
		    .last = work->next[i] == NOBODY,
		};
		if (work->first[i] != NOBODY) {
			i = work->first[i];
			continue;
		}
		while (i != NOBODY && work->next[i] == NOBODY)
			i = work->parent[i];
		if (i != NOBODY)
			i = work->next[i];
	}
	free(row_of);
}

void
tree_lay_out(struct tree *tree, const struct flow *flow)
{
	struct work work;

	work_start(&work, flow);
	sort_by_needs(&work);
	for (size_t at = 0; at < flow->count; at++)
		find_parent(&work, work.order[at]);
	*tree = (struct tree){0};
	tree->rows = calloc(flow->count + 1, sizeof(*tree->rows));
	if (tree->rows == NULL)
		abort();
	list_rows(tree, &work, link_children(&work));
	work_end(&work);
}

void
tree_free(struct tree *tree)
{
	free(tree->rows);
	*tree = (struct tree){0};
}

void
tree_add_branches(struct text *text, const struct tree *tree, size_t row)
{
	const char *parts[DEPTH_SHOWN];
	const struct tree_row *at = &tree->rows[row];
	int count = 0;

	if (at->depth == 0)
		return;
	parts[count++] = at->last ? "└─ " : "├─ ";
	for (at = &tree->rows[at->parent]; at->depth > 0 && count < DEPTH_SHOWN;
	     at = &tree->rows[at->parent])
		parts[count++] = at->last ? "   " : "│  ";
	while (count > 0)
		text_add_string(text, parts[--count]);
}
