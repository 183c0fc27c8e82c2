/*
 * From the claim to the outcome: a task waits for its slot, its payload and
 * inputs are fetched where they did not come along, its handler starts it, and
 * its outcome goes to the next turn.
 */
#ifndef DAEMON_WORKER_RUN_H
#define DAEMON_WORKER_RUN_H

#include <stdbool.h>

#include "daemon/worker/backlog.h"
#include "daemon/worker/chain.h"

struct event;
struct worker;

enum {
	RUN_SLICE_US = 5000, /* starts at a stretch before the loop goes on */
	RUN_STUCK_MS =
	    100, /* at least, in the backlog before it is given back */
};

struct run {
	int slots;		/* tasks that have one: fetching and started */
	struct backlog backlog; /* claimed, without a slot */
	struct chain_list chains; /* tasks that follow others */
	struct event *stuck;	  /* looks for what waits too long */
	struct running *starting; /* its handler's start is being called */
};

void run_open(struct worker *worker);
void run_close(struct worker *worker);

/* A task was claimed: it goes to the backlog. */
void run_claimed(struct worker *worker, struct running *running);
/* The same of one that is to run after all others in the chain of `first`, a
 * task that came with the same turn: if that is not in the backlog, this one
 * goes back. Until its row is read its attempt is 0. */
void run_follow(
    struct worker *worker, struct running *running, struct running *first);
/* Those of which no row came go back. */
void run_give_back_unread(struct worker *worker);
/* Starts what has a slot. */
void run_backlog(struct worker *worker);
/* What had to be fetched is there. */
void run_start(struct worker *worker, struct running *running);

/* It will not be started: the finish says why. From backlog or fetching, or
 * from behind another. */
void run_refuse(struct worker *worker, struct running *running,
    const struct finish *finish);
/* It goes back to the line. */
void run_give_back_one(struct worker *worker, struct running *running);
/* Whatever was not started goes back, what follows others included. */
void run_give_back(struct worker *worker);

/* Someone wants the task cancelled, wherever it stands. */
void run_cancel(struct worker *worker, struct running *running,
    enum cancel_reason reason, int64_t grace_ms);
/* It is not ours any more: whatever comes of it counts for nothing. */
void run_fenced(struct worker *worker, struct running *running);

/* PostgreSQL has been told, or need not be: forgets it. */
void run_forget(struct worker *worker, struct running *running);

/* Its handler turns to it (handler_begun_cb; the argument is the worker). */
void run_begun(struct task *task, void *argument);
/* A handler's report (handler_done_cb; the argument is the worker). */
void run_done(struct task *task, const struct outcome *outcome, void *argument);

#endif
