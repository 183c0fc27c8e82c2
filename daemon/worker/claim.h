/*
 * What the next turn asks for: the routes with room, how many of each, and the
 * floors from which to look, as the parameters of muster.turn.
 */
#ifndef DAEMON_WORKER_CLAIM_H
#define DAEMON_WORKER_CLAIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/text.h"
#include "daemon/worker/floors.h"
#include "daemon/worker/route.h"

enum {
	CLAIM_MAX = 1000,	/* tasks in a turn */
	CLAIM_BYTES = 16 << 20, /* of payloads in a turn */
	CLAIM_HELD = 64 << 20,	/* of payloads and results in a worker */
	CLAIM_LEAST = 64 << 10, /* with less than this left, none */
	CLAIM_PAUSE_MS = 100,	/* of a route whose tasks got stuck here */
	CLAIM_PAUSE_MAX_MS = 3200,

	/* Among the routes: how much those that follow get together. */
	CLAIM_BOUND_QUEUE = -1,
	CLAIM_BOUND_GROUP = -2,
};

struct claim {
	struct text routes, wants, chains; /* with bounds among them */
	struct text floor_routes, floor_ranks, floor_lanes, floor_seqs;
	int max;	   /* tasks at most; 0: nothing is asked for */
	int followers;	   /* so many more, behind those; 0: no chains */
	int64_t max_bytes; /* of their payloads */
	int eager;	   /* of `max`: where the last turn left tasks behind */
	bool grouped;	   /* a bound stands among the routes */
};

struct claim_facts {
	const struct route_list *routes;
	const struct share_list *queues;
	const struct floors *floors;
	size_t held_bytes; /* in payloads and results now */
	size_t finished;   /* tasks that the next turns will tell */
	bool ended_flow;   /* some of them may be of flows */
	int64_t turn_us;   /* how long a turn takes of late */
	struct mono now;
};

/* Asks for nothing. */
void claim_nothing(struct claim *claim, const struct route_list *routes);
/* Asks for all there is room for. */
void claim_plan(struct claim *claim, const struct claim_facts *facts);
void claim_free(struct claim *claim);

/* For how long: slots are taken everywhere, and enough waits for them, so that
 * a claim would only make that line longer. 0: it cannot wait. What others of a
 * flow may wait for is told soon all the same. */
int claim_wait_ms(const struct claim_facts *facts);

/* The turn brought `total` tasks, counted in the routes' `got`, and those that
 * follow them, in `followed`: learns which of the routes have no more. `cut`:
 * it brought less than there is for a reason of its own. */
void claim_learn(const struct claim *claim, const struct route_list *routes,
    int total, bool cut);

/* Tasks of the route were given back because they got stuck here: nothing is
 * asked for ahead of its free slots for a while, longer each time. */
void claim_pause(struct route *route, struct mono now);
/* One of its tasks was started soon enough. */
void claim_resume(struct route *route);

#endif
