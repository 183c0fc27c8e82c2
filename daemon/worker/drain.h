/*
 * The way out. Nothing is claimed any more, what has not started goes back,
 * running tasks go on until the first limit and are then cancelled and handed
 * back uncharged; what ended is written; at the second limit the process goes,
 * and what PostgreSQL could not be told is listed in the log.
 *
 *   NOT → RUNNING_OUT ─limit→ CANCELLING → LEAVING → OVER
 */
#ifndef DAEMON_WORKER_DRAIN_H
#define DAEMON_WORKER_DRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

struct event;
struct worker;

enum {
	DRAIN_MARGIN_MS = 500, /* before the end: for the last turn */
	DRAIN_LEAVE_MS = 1000, /* for the last word to the database */
};

enum drain_state {
	DRAIN_NOT,
	DRAIN_RUNNING_OUT,
	DRAIN_CANCELLING,
	DRAIN_LEAVING,
	DRAIN_OVER,
};

struct drain {
	enum drain_state state;
	struct mono cancel_at, gone_at;
	struct event *timer;
};

void worker_drain_open(struct worker *worker);
void worker_drain_close(struct worker *worker);

/* May come again with shorter limits. */
void worker_drain_begin(
    struct worker *worker, int64_t cancel_ms, int64_t gone_ms);
/* The supervisor is gone: by the limits of the configuration. */
void worker_drain_orphaned(struct worker *worker);
bool worker_drain_is_on(const struct worker *worker);
/* Goes on when nothing is left; called once a loop turn. */
void worker_drain_check(struct worker *worker);
/* The database has heard our last word. */
void worker_drain_left(struct worker *worker);

#endif
