/*
 * A configuration in use, and the handlers opened for it. Immutable: a reload
 * opens a new generation; the old one stays until the last task that it
 * started has ended.
 */
#ifndef DAEMON_WORKER_GENERATION_H
#define DAEMON_WORKER_GENERATION_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "daemon/handlers/handler.h"

struct generation;

/* A kind and the handler that runs it. */
struct binding {
	struct generation *generation;
	const struct handler_config *config;
	const struct handler_ops *ops;
	struct handler *handler;
	int tasks; /* started by it and not ended */
};

struct generation {
	TAILQ_ENTRY(generation) link;
	struct config *config;	  /* owned */
	struct handler_host host; /* what its handlers refer to */
	struct binding *bindings; /* owned; as config->handlers */
	size_t count;
	int tasks; /* started by it and not ended */
};

TAILQ_HEAD(generation_list, generation);

/* Takes over `config`; `host` is copied but for its config. The first of the
 * list is the one in force; the handlers of the one before it retire. */
struct generation *worker_generation_add(struct generation_list *list,
    struct config *config, const struct handler_host *host);

/* NULL: no handler for the kind. */
struct binding *worker_generation_binding(
    const struct generation *generation, const char *kind);

void worker_generation_hold(struct binding *binding);
void worker_generation_drop(struct binding *binding);

/* How many tasks of the kind run that generations before started. */
int worker_generation_earlier(
    const struct generation_list *list, const char *kind);

/* Closes what is not in force and runs nothing any more; with `all` every one
 * (nothing runs). Not to be called from inside a handler. */
void worker_generation_sweep(struct generation_list *list, bool all);

#endif
