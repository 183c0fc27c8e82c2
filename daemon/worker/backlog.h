/*
 * The backlog: claimed tasks that wait for a slot. What is claimed ahead takes
 * its turn by urgency, as the lines in the database do, so that what has just
 * become ready on a flow's longest path overtakes what was claimed before it.
 * Within a route and an urgency they go as they came: each such has a lane.
 */
#ifndef DAEMON_WORKER_BACKLOG_H
#define DAEMON_WORKER_BACKLOG_H

#include <sys/queue.h>

#include "daemon/worker/route.h"

enum {
	BACKLOG_URGENCY = 8,	  /* of what has no rank and is in no flow */
	BACKLOG_PATIENCE_MS = 50, /* nobody is overtaken by what was claimed
				     that much later */
};

/* There is one while a task is in it. Its tasks point to it. */
struct backlog_lane {
	TAILQ_ENTRY(backlog_lane) link;
	struct running_list tasks;
};

TAILQ_HEAD(backlog, backlog_lane);

/* By its route, its urgency and when it was claimed; the next of a chain before
 * the others of its lane. */
void backlog_add(struct backlog *backlog, struct running *running);
void backlog_remove(struct backlog *backlog, struct running *running);
/* The next one to start of those for which there is a slot. NULL: none. */
struct running *backlog_next(const struct backlog *backlog);
/* The one of a route that was claimed first. NULL: none. */
struct running *backlog_oldest(
    const struct backlog *backlog, const struct route *route);

#endif
