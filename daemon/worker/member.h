/*
 * Who this worker is in the database. Its id is a random 63-bit number; when
 * the database holds it for dead it takes another one. After every connect it
 * makes sure of itself before any other turn:
 *
 *   AWAY ─connected→ CHECKING ─schema fits→ REGISTERING ─new id→ IN
 *     ↑                                          │ id of before   ↑
 *     │ lost                                     ↓                │
 *     └──────────────────────────────────── READING_BACK ─────────┘
 *                              IN ─drained→ LEAVING → GONE
 */
#ifndef DAEMON_WORKER_MEMBER_H
#define DAEMON_WORKER_MEMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/pg.h"

struct event;
struct worker;

enum { MEMBER_BEAT_MS = 5000, MEMBER_RETRY_MS = 1000 };

enum member_state {
	MEMBER_AWAY,
	MEMBER_CHECKING,
	MEMBER_REGISTERING,
	MEMBER_READING_BACK,
	MEMBER_IN,
	MEMBER_LEAVING,
	MEMBER_GONE,
};

struct member {
	enum member_state state;
	int64_t id;	 /* 0: none yet */
	bool registered; /* the id has been in once: leases may exist */
	bool left; /* cleanly: the database knows nothing of it any more */
	bool ready_sent;  /* the supervisor knows that we reached the schema */
	bool lost_logged; /* the outage is in the log */
	unsigned round;	  /* of reading back */
	struct event *beat, *retry;
	int64_t *unsure; /* owned; ids of finishes whose turn got no answer */
	int unsure_count;
};

void member_open(struct worker *worker); /* connects */
void member_close(struct worker *worker);

/* Sends on the hot connection, with the worker as argument of the answer.
 * While it is away nothing is sent: the next connect starts over anyway. */
void member_send(struct worker *worker, const struct pg_statement *statement,
    const char *const *values, pg_result_cb *on_result);

bool member_is_in(const struct worker *worker);

/* The database holds this id for dead: nothing of what we hold counts. */
void member_dead(struct worker *worker);
/* Queues or kinds changed: tell, and learn their routes. */
void member_register_again(struct worker *worker);
/* The last word; worker_drain_left is called when it was heard. */
void member_leave(struct worker *worker);

/* The sleepers' list. */
void member_sleep(struct worker *worker);
void member_wake(struct worker *worker);

#endif
