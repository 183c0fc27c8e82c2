/*
 * A place that a child is to fill: the scheduler's, or a worker's slot. It
 * keeps a serving child alive, with a back-off when it keeps dying young, and
 * holds the others of a reload: the one that is coming and the one that is
 * leaving.
 *
 *   coming ──all are READY──→ serving ──replaced, too many──→ leaving → gone
 */
#ifndef SUPERVISOR_PLACE_H
#define SUPERVISOR_PLACE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/backoff.h"

struct child;
struct event;
struct generation;
struct supervisor;

enum role { ROLE_SCHEDULER, ROLE_WORKER };

struct place {
	struct supervisor *supervisor;
	enum role role;
	int slot; /* of a worker from 0; scheduler: -1 */
	bool wanted;
	struct child *serving, *coming, *leaving; /* owned */
	struct event *restart;			  /* pending: a back-off runs */
	struct backoff backoff;
	int restarts;	/* unexpected ends since the start */
	int young;	/* of them in a row soon after their start */
	bool worked;	/* one was READY once */
	char last[320]; /* how the last one ended */
};

void place_init(struct place *place, struct supervisor *supervisor,
    enum role role, int slot);
void place_close(struct place *place);

/* Fills it, now and from now on, with the generation in force. */
void place_want(struct place *place);
/* Starts the child that is to replace the serving one; false: no process. */
bool place_prepare(struct place *place, struct generation *generation);
/* The coming child serves, the serving one leaves, its tasks in peace. */
void place_switch(struct place *place);
/* The coming child is given up; the serving one is started anew if it is
 * gone. */
void place_give_up(struct place *place);
/* Nobody is to serve here any more; whoever does leaves. */
void place_unwant(struct place *place);

/* A child of it has ended as `info` says; it is freed after this. */
void place_child_gone(
    struct place *place, struct child *child, const siginfo_t *info);

bool place_is_ready(const struct place *place); /* its serving child works */
bool place_is_empty(const struct place *place); /* no process at all */

/* Calls `see` for every child of the supervisor, the scheduler's last. */
void places_each(struct supervisor *supervisor,
    void (*see)(struct child *child, void *argument), void *argument);

/* The place of worker `slot`, made if need be. */
struct place *places_worker(struct supervisor *supervisor, int slot);

#endif
