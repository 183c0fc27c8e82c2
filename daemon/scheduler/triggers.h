/*
 * Messages on channels of Redis that become tasks. Of all hosts the one acts on
 * a trigger whose session in PostgreSQL holds the trigger's advisory lock, and
 * it enqueues through that session: who loses it, by whatever fault, can
 * enqueue nothing more, and what he had not enqueued is dropped. So one message
 * makes at most one task.
 *
 *   OFF ─a trigger is configured→ AWAY ─session→ IN: asks for the locks that
 *    ↑                             ↑              │  once a second, listens to
 *    └─ the last one was removed ──┴──── lost ────┘  the channels of those held
 */
#ifndef DAEMON_SCHEDULER_TRIGGERS_H
#define DAEMON_SCHEDULER_TRIGGERS_H

#include <stdbool.h>
#include <stddef.h>

struct event;
struct pg;
struct redis;
struct scheduler;
struct trigger;

enum { TRIGGERS_ASK_MS = 1000 };

struct triggers {
	struct trigger **items; /* owned; by name */
	size_t count;
	struct pg *pg;		 /* NULL: OFF */
	struct redis *redis;	 /* only listens; NULL: nothing is held */
	bool in;		 /* the session is there, and its own */
	bool asked;		 /* for locks: the answer is awaited */
	bool busy;		 /* tasks are being enqueued */
	struct trigger *sending; /* of which; NULL: it was removed meanwhile */
	size_t next;		 /* whose turn it is */
	struct event *timer;	 /* asks, complains, tries again */
	bool pooled_told;
};

void triggers_open(struct scheduler *scheduler);
void triggers_close(struct scheduler *scheduler);
/* Another configuration: triggers that did not change go on. */
void triggers_configure(struct scheduler *scheduler);
/* Another database or Redis: all begins anew. */
void triggers_reopen(struct scheduler *scheduler);

#endif
