/*
 * How close together turns may follow each other. Each one spends a
 * transaction id, so above some hundreds of tiny turns a second a finish waits
 * a few milliseconds for others. Claims that someone waits for never do.
 *
 * A worker that has enough to do does not need the next turn soon: its
 * finishes wait for company, too, as long as that is so. What a turn costs
 * whatever it carries counts for more the quicker the tasks are.
 */
#ifndef DAEMON_WORKER_PACE_H
#define DAEMON_WORKER_PACE_H

#include <stdbool.h>

#include "common/clock.h"

enum {
	PACE_TURNS_PER_S = 500,
	PACE_BURST = 100,
	PACE_WAIT_MS = 3,
	PACE_TINY = 8, /* a turn with fewer finishes and claims is tiny */
	PACE_SUPPLIED_MS = 10, /* with enough to do, at most, and if what there
				  is takes no more than PACE_QUICK_MS each: */
	PACE_SUPPLIED_QUICK_MS = 25,
	PACE_QUICK_MS = 5,
	PACE_FLOW_MS = 2, /* at most, if others of a flow may wait for one */
};

struct pace {
	double tokens;
	struct mono at;
	struct mono until; /* finishes wait for company; us 0: none does */
};

struct pace pace_new(struct mono now);
/* A turn that moved `tasks` tasks ended. */
void pace_turn(struct pace *pace, int tasks, struct mono now);
/* How many milliseconds `tasks` finishes should wait for company; 0: none. */
int pace_wait_ms(struct pace *pace, int tasks, struct mono now);
/* Finishes wait for `ms` from now at most, whatever they waited for before.
 * Returns whether they have to go sooner than they had. */
bool pace_hold(struct pace *pace, int ms, struct mono now);
/* They went, or are void. */
void pace_go(struct pace *pace);

#endif
