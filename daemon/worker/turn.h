/*
 * The turn: one statement that tells PostgreSQL what ended and brings what to
 * do next. At most one is under way; what ends meanwhile goes with the next,
 * so batches grow with the load and vanish without it.
 *
 *   RESTING ──due──→ UNDER_WAY ──answer──→ RESTING
 *      ↑                 │ refused           │
 *      └──── time ── HOLDING ←───────────────┘ (trouble of the server)
 */
#ifndef DAEMON_WORKER_TURN_H
#define DAEMON_WORKER_TURN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/backoff.h"
#include "common/clock.h"
#include "daemon/worker/batch.h"
#include "daemon/worker/claim.h"
#include "daemon/worker/floors.h"
#include "daemon/worker/pace.h"
#include "daemon/worker/sleeper.h"

struct event;
struct worker;

enum turn_state { TURN_RESTING, TURN_UNDER_WAY, TURN_HOLDING };

struct turn {
	enum turn_state state;
	struct event *pump;  /* runs once a loop turn, however often kicked */
	struct event *timer; /* poll, bridge, pace or hold */
	bool asked;	     /* a turn is due even with nothing to tell */
	bool look;	     /* and one that only looks, before it */
	bool looking;	     /* that one is under way */
	bool unanswered;     /* the last one may have claimed unknown tasks */
	bool tiny;	     /* it waits, since tiny ones are too many */
	bool warm;	     /* the session has planned what turns do */
	struct mono sent_at;
	int64_t us; /* how long one takes, smoothed */
	struct batch batch;
	struct claim claim;
	struct bisect bisect;
	struct pace pace;
	struct sleeper sleeper;
	struct floors floors;
	bool sweep;	   /* the next claim goes without them */
	struct mono swept; /* when one last did */
	struct backoff backoff;
};

void turn_open(struct worker *worker);
void turn_close(struct worker *worker);

/* Something ended or may be started: look at it before the loop waits. */
void turn_kick(struct worker *worker);
/* A turn is due at once, whatever there is to tell (woken up). */
void turn_ask(struct worker *worker);
/* Something that runs is to be cancelled: a worker with much to do does not
 * let it wait behind that, but looks first. */
void turn_look(struct worker *worker);
/* The next turn looks below the floors: what became ready in a transaction
 * that ended late lies there. Done now and then, and when woken. */
void turn_sweep(struct worker *worker);

/* The connection is lost: the answer will not come. Its finishes stay in the
 * list of what was sent; floors and the sleeper's registration are void. */
void turn_lost(struct worker *worker);

/* What was sent goes back to the head of what ended, in order. */
void turn_unsend(struct worker *worker);

#endif
