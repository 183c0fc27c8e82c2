/*
 * The time limits of the tasks that run. One timer for all of them: it is set
 * earlier when need be, and looks at what runs when it fires, so a task that
 * ends in time costs nothing but a note of its limit.
 */
#ifndef DAEMON_WORKER_TIME_LIMIT_H
#define DAEMON_WORKER_TIME_LIMIT_H

#include "common/clock.h"

struct event;
struct running;
struct worker;

struct time_limit {
	struct event *timer;
	struct mono armed; /* when it fires; us 0: it does not */
};

void time_limit_open(struct worker *worker);
void time_limit_close(struct worker *worker);

/* From now on; nothing without a limit. It is cancelled when it is over. */
void time_limit_start(struct worker *worker, struct running *running);

#endif
