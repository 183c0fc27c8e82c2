/*
 * What is about to end: which of the tasks that run will leave their slots so
 * soon that what is to follow them has to be asked for now. Of many tasks, and
 * of very quick ones, their rate tells that. Some tens that started together
 * end together, and one that has run for as long as its kind does ends soon
 * however slow it is: so those of kinds whose lengths are known well enough are
 * looked at one by one (share_set_due). And since a task becomes due by the
 * mere passing of time, a timer says when to look again.
 */
#ifndef DAEMON_WORKER_DUE_H
#define DAEMON_WORKER_DUE_H

#include "common/clock.h"

struct event;
struct worker;

struct due {
	struct event *timer;
};

void due_open(struct worker *worker);
void due_close(struct worker *worker);

/* Counts in each share what is due, and sets the timer to the next moment at
 * which there is more: it kicks the turn. */
void due_count(struct worker *worker, struct mono now);

#endif
