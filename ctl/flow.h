/*
 * A flow file: YAML → a checked graph → the JSON that muster.submit_flow
 * takes. Everything that can be known without a database is checked here, and
 * told with file, line and column.
 */
#ifndef CTL_FLOW_H
#define CTL_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/text.h"

struct yaml_node;
struct yaml_source;

enum flow_when { FLOW_SUCCEEDED, FLOW_FINISHED, FLOW_FAILED };

/* An edge: what a task waits for. */
struct flow_need {
	size_t task; /* its number in the flow */
	enum flow_when when;
};

struct flow_task {
	const char *name, *kind,
	    *queue; /* the tree's; of a nested flow no kind */
	int64_t timeout_ms, expect_ms; /* -1: not said */
	int line, column;	       /* of its kind, for complaints */
	struct flow_need *needs;       /* owned */
	size_t need_count;
	size_t least; /* so many of them must be met; 0: all */
	const struct yaml_node *node;
	bool is_map;
	struct flow *inner; /* owned; NULL: it is no nested flow */
	char *path;	    /* owned; NULL: its name, it is in no nested flow */
};

struct flow {
	const char *name;
	const char *on_failure;	 /* NULL: not said */
	struct flow_task *tasks; /* in the order of the file */
	size_t count;
	const struct yaml_node *node;
	bool nested; /* in another flow, which owns the following */
	struct yaml_source *source;
	struct yaml_node *root;
};

/* What is wrong with a file, at most FLOW_ERRORS things. */
enum { FLOW_ERRORS = 20 };
struct flow_errors {
	struct error items[FLOW_ERRORS];
	char *carets[FLOW_ERRORS]; /* owned */
	size_t count, dropped;
};

/* Reads a file ("-": standard input). NULL with `errors` filled when
 * anything is wrong with it. */
struct flow *flow_read(const char *file, struct flow_errors *errors);
/* The same from memory. */
struct flow *flow_parse(const char *name, const char *text, size_t size,
    struct flow_errors *errors);
struct flow *flow_free(struct flow *flow); /* NULL ok; returns NULL */

/* How many tasks it has with those of nested flows. */
size_t flow_count_all(const struct flow *flow);
/* A copy in which the tasks of nested flows stand beside those of the outer
 * one, under their paths ("outer/inner"); those that need nothing in their
 * flow need what holds them. For as long as `flow` lives; the caller frees it.
 */
struct flow *flow_flatten(const struct flow *flow);

/* Adds one; the place is a line and column of the flow's file. */
void flow_error_add(struct flow_errors *errors,
    const struct yaml_source *source, const struct error *error);
/* Puts the name of the flow's file and a place in it into an error. */
void flow_place(
    const struct flow *flow, struct error *error, int line, int column);
void flow_errors_print(const struct flow_errors *errors); /* to stderr */
void flow_errors_free(struct flow_errors *errors);

/* What muster.submit_flow takes. */
void flow_json(const struct flow *flow, struct text *ret_json);

const char *flow_when_name(enum flow_when when);

#endif
