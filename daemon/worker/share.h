/*
 * Concurrency: how many tasks of a queue or of a kind this worker may run at a
 * time, how many it holds, and how many more it may claim. A concurrency holds
 * for the instance; each of its workers has a part of what the workers leave
 * that are being replaced.
 *
 * A worker may claim a little beyond its free slots, but only what its own
 * measured rate will start before the next turn brings more (share_ahead): a
 * slow task is never parked here while another worker idles.
 */
#ifndef DAEMON_WORKER_SHARE_H
#define DAEMON_WORKER_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

enum {
	SHARE_NO_LIMIT = 1 << 20,
	SHARE_AHEAD_MAX = 400, /* claimed beyond the slots, at most */
};

struct share {
	char *name;	   /* owned */
	uint32_t hash;	   /* scoreboard_hash of the name */
	int elsewhere;	   /* tasks that run in workers that leave */
	int limit;	   /* this worker's slots */
	int claimed;	   /* held and not finished, running ones included */
	int running;	   /* have a slot */
	int64_t began_sum; /* sum of their starts, us */
	double mean_us;	   /* of a task's run time; 0: not measured yet */
};

/* Slot number `slot` (from 0) of `workers` gets its part of `total`. */
int share_part(int total, int workers, int slot);

/* A list of shares by name; they live until share_list_free. */
struct share_list {
	struct share **items; /* owned */
	int count;
};
/* Finds or adds one; a new one has no slot. */
struct share *share_list_get(struct share_list *list, const char *name);
void share_list_free(struct share_list *list);

/* The shares that one task takes part of: those of its queue, of its kind, and
 * for sql tasks of the worker's extra connections (else NULL). */
struct share_set {
	struct share *queue, *kind, *pool;
};
bool share_set_can_start(const struct share_set *set);
void share_set_claimed(const struct share_set *set);
void share_set_released(const struct share_set *set);
void share_set_started(const struct share_set *set, struct mono at);
void share_set_ended(
    const struct share_set *set, struct mono began, struct mono ended);

bool share_can_start(const struct share *share);

/*
 * Gives slot `slot` of `workers` its part of what of `total` is not taken
 * elsewhere (SHARE_NO_LIMIT: no limit). The workers count at different times,
 * but what runs elsewhere only gets less, and a part only grows with the whole:
 * together with it they never run more than `total`.
 */
void share_set_limit(struct share *share, int total, int workers, int slot);

/* A task of it was claimed, or is no longer held. */
void share_claimed(struct share *share);
void share_released(struct share *share);

/* A task of it starts or has ended; the run time is learnt at the end. */
void share_started(struct share *share, struct mono at);
void share_ended(struct share *share, struct mono began, struct mono ended);

/* How many tasks will leave it while a turn takes `turn_us`. */
int share_ahead(const struct share *share, int64_t turn_us, struct mono now);

/* How many more may be claimed: free slots and share_ahead; 0 or more. */
int share_room(const struct share *share, int64_t turn_us, struct mono now);

#endif
