/*
 * The worker that this one replaces, while it still drains: what it runs takes
 * slots of the same concurrency, so a reload does not double it; until it
 * drains it has them all. Its scoreboard tells.
 */
#ifndef DAEMON_WORKER_PREDECESSOR_H
#define DAEMON_WORKER_PREDECESSOR_H

#include <stdbool.h>

struct event;
struct scoreboard;
struct worker;

enum { PREDECESSOR_LOOK_MS = 100 };

struct predecessor {
	struct scoreboard *board; /* owned; NULL: none, or over */
	int count;		  /* tasks that it ran when last looked */
	bool serves;		  /* it was not draining then */
	struct event *timer;
};

/* Takes over `board` (NULL: no predecessor). */
void predecessor_open(struct worker *worker, struct scoreboard *board);
void predecessor_close(struct worker *worker);

/* The worker's shares have changed: counts anew what is taken of them. */
void predecessor_look(struct worker *worker);

#endif
