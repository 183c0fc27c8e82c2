/*
 * A workflow that ran somewhere, as WfFormat tells it (wfcommons.org, schema
 * 1.5: JSON with workflow.specification.tasks and workflow.execution.tasks),
 * and how well it could be scheduled.
 */
#ifndef CTL_TRACE_H
#define CTL_TRACE_H

#include <stddef.h>

#include "common/error.h"

enum { TRACE_KINDS = 100 }; /* told apart; the last one has all others */

struct trace_task {
	char *id;	/* owned */
	size_t kind;	/* the program it was a run of, or by its name */
	double seconds; /* how long it took */
	size_t *needs;	/* owned; numbers of other tasks, each once */
	size_t need_count;
	size_t *feeds; /* owned; those that need it */
	size_t feed_count;
	double rest; /* of the longest path from its start to the end */
};

struct trace {
	char *name;		  /* owned */
	struct trace_task *tasks; /* owned */
	size_t count, edges;
	char *kinds[TRACE_KINDS]; /* owned; names, each once */
	size_t kind_count;
	double work;	      /* of all tasks, seconds */
	double critical_path; /* seconds */
};

/* Reads a file ("-": standard input), all lengths divided by `speed`. The
 * caller frees it; NULL with `error` filled. */
struct trace *trace_read(const char *file, double speed, struct error *error);
struct trace *trace_free(struct trace *trace); /* NULL ok; returns NULL */

/* No schedule on so many slots is shorter, in seconds. */
double trace_bound(const struct trace *trace, size_t slots);

enum trace_order {
	TRACE_CRITICAL_FIRST, /* the longest remaining path first */
	TRACE_FIRST_COME,
};

/* How long list scheduling (Graham 1969) takes: whenever a slot is free, the
 * first of the ready tasks starts. In seconds. */
double trace_simulate(
    const struct trace *trace, size_t slots, enum trace_order order);

#endif
