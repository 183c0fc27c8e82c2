/*
 * The tasks a worker holds, from the claim until PostgreSQL has been told how
 * they ended. The table finds them by id; each is in the list of its state.
 *
 *   FOLLOWING ┐
 *      │      ↓
 *      │   BACKLOG ──→ FETCHING ──→ STARTED ──→ FINISHED ──→ SENT ──→ (gone)
 *      │      │  └────────────────────↑            ↑  ↑        │
 *      └──────┴────────────────────────────────────┘  └────────┘ turn refused
 */
#ifndef DAEMON_WORKER_RUNNING_H
#define DAEMON_WORKER_RUNNING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "daemon/handlers/handler.h"
#include "daemon/worker/share.h"

struct backlog_lane;
struct binding;
struct chain;
struct outbox_task;
struct route;

enum running_state {
	RUNNING_CLAIMED,   /* in no list yet */
	RUNNING_FOLLOWING, /* waits for those before it in its chain */
	RUNNING_BACKLOG,   /* claimed, waits for a slot */
	RUNNING_FETCHING,  /* has a slot; payload or inputs are on the way */
	RUNNING_STARTED,   /* its handler has it */
	RUNNING_FINISHED,  /* goes with the next turn */
	RUNNING_SENT,	   /* in the turn that is under way, or whose answer
			      was lost */
};

/* What turn is told of a task that ended. */
struct finish {
	char outcome; /* s f r u b c, as in muster.turn */
	int32_t ran_ms;
	int64_t delay_ms;
	char *result, *error; /* owned; NULL: null */
	size_t result_size, error_size;
};

struct running {
	uint32_t magic;
	enum running_state state;
	TAILQ_ENTRY(running) link; /* in the list of its state */
	struct task task;
	struct route *route;
	struct share_set shares; /* of the route, when it was claimed */
	struct chain *chain;	 /* while one follows it, or it follows */
	bool follower;		 /* it came behind another in a chain */
	bool passed_on; /* left a task behind it that has its slot now */
	struct binding *binding; /* from its slot on */
	int snoozes;
	int max_attempts;	/* 0: the handler's */
	int64_t own_timeout_ms; /* 0: the handler's */
	bool has_needs;
	bool no_payload; /* it did not come along: fetch it if needed */
	bool large;	 /* its payload is more than turns carry */
	int64_t urgency; /* the smaller, the sooner */
	struct backlog_lane *lane; /* in the backlog */
	struct mono claimed; /* or next of its chain: in the backlog since */
	int64_t stuck_ms;  /* for so long it may be there, as was known then */
	int64_t expect_us; /* it will run for so long; 0: nobody said so */
	struct mono slot_at;
	char *payload, *inputs;	  /* owned */
	struct mono limit;	  /* of its time, while it runs; us 0: none */
	struct outbox_task *told; /* what it tells while it runs; the outbox's;
				     NULL: nothing so far */
	struct mono announced;	  /* its last progress, as an event */
	bool cancelled;		  /* its handler was told, for `reason` */
	enum cancel_reason reason;
	struct finish finish;
	int refused;	     /* how often PostgreSQL refused the finish */
	bool maybe_recorded; /* by a transaction of its own: being fenced
				is no surprise then */
	unsigned seen;	     /* the last reading back that named it */
};

TAILQ_HEAD(running_list, running);

/* Checks the magic: what a handler hands back is what it was given. */
struct running *running_of(struct task *task);

struct running *running_new(int64_t id, int64_t lease);
/* Returns NULL. */
struct running *running_free(struct running *running);

/* Lets payload and inputs go. */
void running_drop_data(struct running *running);

/* Bytes of payload, inputs, result and error that it holds. */
size_t running_bytes(const struct running *running);

/* The table. */
struct running_table {
	struct running **slots; /* owned; size is a power of two */
	size_t size, count;
};
/* The id must not be there yet. */
void running_table_add(struct running_table *table, struct running *running);
struct running *running_table_find(
    const struct running_table *table, int64_t id);
/* Harmless when another one, or none, stands under its id. */
void running_table_remove(
    struct running_table *table, const struct running *running);
void running_table_free(struct running_table *table);

#endif
