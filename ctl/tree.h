/*
 * A graph of tasks laid out as a tree: each task stands under the nearest one
 * that everything it waits for comes from, so that a fan-in stands beside its
 * fan, not inside it.
 */
#ifndef CTL_TREE_H
#define CTL_TREE_H

#include "ctl/flow.h"

struct tree_row {
	size_t task;   /* its number in the flow */
	size_t parent; /* row above it; own number: none */
	int depth;     /* 0: waits for nothing */
	bool last;     /* of its parent's children */
};

struct tree {
	struct tree_row *rows; /* owned, from top to bottom */
	size_t count;
};

void tree_lay_out(struct tree *tree, const struct flow *flow);
void tree_free(struct tree *tree);

/* Adds what stands left of a row's name: "│  ├─ ". */
void tree_add_branches(struct text *text, const struct tree *tree, size_t row);

#endif
