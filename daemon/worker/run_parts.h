/*
 * What the parts of run (run.c, run_chain.c, run_end.c) want of each other; see
 * run.h.
 */
#ifndef DAEMON_WORKER_RUN_PARTS_H
#define DAEMON_WORKER_RUN_PARTS_H

#include "daemon/worker/run.h"

/* Into the backlog. */
void run_enter_backlog(struct worker *worker, struct running *running);
/* Something waits for a slot, or for another task. */
void run_watch_for_stuck(struct worker *worker);
/* For how long a task may wait, or keep others of its chain waiting. */
int64_t run_stuck_ms(const struct worker *worker, const struct route *route);

/* A follower leaves its chain; the caller sees to its new state. */
void run_leave_chain(struct worker *worker, struct running *running);
/* A task has left this worker's hands, as its finish says: the next of its
 * chain waits for a slot at the head of the backlog. If it was given back, or
 * may still be at it somewhere, they all go back. */
void run_pass_on(struct worker *worker, struct running *running);
/* Whatever follows goes back. */
void run_give_back_followers(struct worker *worker);
/* What follows a task that takes far longer than was thought goes back. */
void run_look_at_chains(struct worker *worker, struct mono now);

#endif
