/*
 * The statements that move work along, one at a time, in the order that the
 * plan says; and this scheduler's place on the list of sleepers, so that it is
 * told when there is work. While it is busy for long it takes itself off the
 * list: each notification costs its sender.
 */
#ifndef DAEMON_SCHEDULER_CHORES_H
#define DAEMON_SCHEDULER_CHORES_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/scheduler/plan.h"

struct event;
struct scheduler;

/* Where the next call of due or fire begins. */
struct chore_floor {
	char from[64];	      /* "": none */
	bool used;	      /* in the last call */
	struct mono not_used; /* the last call without it */
};

struct chores {
	struct plan plan;
	bool on;   /* the session serves */
	bool busy; /* a statement is in flight */
	enum chore running;
	struct mono sent;    /* when it was */
	struct event *timer; /* the next chore */
	struct event *poll;  /* the backstop */
	struct chore_floor due_floor, fire_floor;
	bool listed; /* as a sleeper */
	struct mono listed_changed;
	struct mono busy_since; /* us 0: not busy */
	struct mono complained[CHORES];
	uint64_t rows[CHORES]; /* taken in all, for the log */
};

void chores_open(struct scheduler *scheduler);
void chores_close(struct scheduler *scheduler);

/* The session serves; it does not any more. */
void chores_start(struct scheduler *scheduler);
void chores_stop(struct scheduler *scheduler);

/* There may be work. */
void chores_poke(struct scheduler *scheduler);
/* Schedules have changed. */
void chores_fire(struct scheduler *scheduler);
/* There is a request. */
void chores_ask(struct scheduler *scheduler);

#endif
