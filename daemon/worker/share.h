/*
 * Concurrency: how many tasks of a queue or of a kind this worker may run at a
 * time, how many it holds, and how many more it may claim. A concurrency holds
 * for the instance; each of its workers has a part of what the workers leave
 * that are being replaced.
 *
 * A share settles when it is new, or its concurrency was lowered: other workers
 * may run more than their parts. While they do, the parts of all are smaller,
 * so that together they never start what would be too much.
 *
 * A worker may claim a little beyond its free slots, but only what its own
 * measured rate will start before the next turn brings more (share_ahead). In
 * a queue the tasks of kinds that take longer than that, or are not measured
 * yet, are counted once more for themselves: however quick the others are,
 * such tasks get no more than the slots and those that are about to come free
 * (share_set_due). So a slow task is not parked here while another worker
 * idles, and none is given back, which would cost it its place in the line.
 */
#ifndef DAEMON_WORKER_SHARE_H
#define DAEMON_WORKER_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

#define SHARE_NEVER_DUE INT64_MAX

enum {
	SHARE_NO_LIMIT = 1 << 20,
	SHARE_AHEAD_MAX = 2000, /* claimed beyond the slots, at most */
	SHARE_CHAIN_US = 10000, /* so much of one key is run at a stretch, */
	SHARE_CHAIN_MAX = 31,	/* or one task and so many after it */
};

/* What routes of a queue could get together in the last turn, and got. */
struct share_bound {
	int room, got;
};

struct share {
	char *name;    /* owned */
	uint32_t hash; /* scoreboard_hash of the name */
	int total;     /* the concurrency */
	bool settling; /* see above */
	bool waits;    /* a worker goes by an older configuration */
	int *beside;   /* while it settles: tasks that run in the workers
			  that serve beside this one, by slot; owned */
	int elsewhere; /* tasks that run in workers that leave */
	int part;      /* this worker's slots of the concurrency */
	bool bounded;  /* a limit across hosts: no more than were lent */
	int lent;      /* these */
	int limit;     /* this worker's slots, by both */
	bool rated;    /* a rate across hosts: each start takes a token */
	int tokens;    /* left */
	struct mono spent_at; /* the last one */
	int claimed;	      /* held and not finished, running ones included */
	int running;	      /* have a slot */
	int following;	      /* held beside: they run after one of these */
	int told;	      /* wait for a slot with a length told, */
	int64_t told_us;      /* all of them together */
	int most;	   /* claimed at a time since that was last looked at */
	bool gained;	   /* one was claimed since */
	int64_t began_sum; /* sum of their starts, us */
	double mean_us;	   /* of a task's run time, quick to grow and slow to
			      shrink; 0: not measured yet */
	double usual_us;   /* the same, outliers counting for little */
	double soon_us;	   /* the same, quick to shrink: few take less */
	int expecting; /* of a kind: of those that run, with a length told */
	bool doubted;  /* and the last one was not so */
	int due, due_soon;    /* of those that run (share_set_due) */
	double usual_claimed; /* held of late, when tasks ended */
	struct share *longer; /* of a queue: its tasks of kinds that are not
				 brief; owned; NULL: not a queue's */
	struct share *whole;  /* of those: the queue's; NULL: it is no part */
	int64_t ran_us;	      /* of tasks that succeeded, since it was told */
	int ran_count;	      /* so many */
	struct share_bound all, brief, others; /* of a queue */
};

/* Slot number `slot` (from 0) of `workers` gets its part of `total`. */
int share_part(int total, int workers, int slot);

/* A list of shares by name; they live until share_list_free. */
struct share_list {
	struct share **items; /* owned */
	int count;
};
/* Finds or adds one; a new one has no slot, and settles. */
struct share *share_list_get(struct share_list *list, const char *name);
/* As a queue's, which has `longer`. */
struct share *share_list_get_queue(struct share_list *list, const char *name);
void share_list_free(struct share_list *list);

/* The shares that one task takes part of: those of its queue, of its kind, for
 * sql tasks of the worker's extra connections (else NULL), and the queue's for
 * longer ones (NULL: it was brief when the task was claimed). */
struct share_set {
	struct share *queue, *kind, *pool, *longer;
};
bool share_set_can_start(const struct share_set *set);
/* Tasks have a slot that is none any more: the concurrency was lowered. */
bool share_set_is_over(const struct share_set *set);
/* One is held that runs after another, or no longer so. */
void share_set_follows(const struct share_set *set);
void share_set_followed(const struct share_set *set);
void share_set_claimed(const struct share_set *set);
/* One that waits for a slot, or no longer does, will run for so long, as it was
 * told; 0: nobody said so. */
void share_set_told(const struct share_set *set, int64_t expect_us);
void share_set_untold(const struct share_set *set, int64_t expect_us);
void share_set_released(const struct share_set *set);
void share_set_started(const struct share_set *set, struct mono at);
void share_set_ended(
    const struct share_set *set, struct mono began, struct mono ended);

/* One that starts is expected to run for so long, as it was told. When it has
 * ended: what is told of its kind counts no more until one is right again,
 * within a factor of two. */
void share_set_expect(const struct share_set *set);
void share_set_expected(
    const struct share_set *set, int64_t expect_us, int64_t ran_us);

bool share_can_start(const struct share *share);

/* How long finishes of its tasks may wait for company when there is enough to
 * do. */
int share_company_ms(const struct share *share);

/* Within this time starts what is claimed ahead of its tasks: while the turn
 * that brings it is under way, until the next one is due, and while that is
 * under way. */
int64_t share_horizon_us(const struct share *share, int64_t turn_us);

/* Whether its tasks are known to end within that time, whatever they are. */
bool share_is_brief(const struct share *share, int64_t turn_us);

/* The least that any that runs of the kind takes, if lengths are known well
 * enough to tell when one ends, and are neither a matter of its rate nor so
 * long that a turn's time is nothing to them. Else never. */
int64_t share_due_us(const struct share *kind);

/* None of its tasks is due. */
void share_none_due(struct share *share);

/* One that has run for ran_us (of expect_us, as it was told, or 0) is due if it
 * may end within the horizon, and due soon if it may do so before a turn that
 * is sent now is back. Returns how long it is until then; never: it is, or
 * nobody knows. */
int64_t share_set_due(const struct share_set *set, int64_t expect_us,
    int64_t ran_us, int64_t turn_us);

/* How many tasks of one key should run here after one of this kind. 0: alone,
 * since they are not quick, or not measured yet. */
int share_chain(const struct share *share, int64_t turn_us);

/* Whether its slots are taken, and what waits for them will keep them so for
 * longer than a turn takes, those that are due soon included: by the usual
 * time, or by what was told of those that wait where that is less. */
bool share_is_supplied(const struct share *share, int64_t turn_us);

/* SHARE_NO_LIMIT: no limit. */
void share_set_total(struct share *share, int total);

/* Forgets what other workers run: it is counted anew, one share_beside for each
 * task of those that serve, `elsewhere` for the others. */
void share_count_anew(struct share *share, int workers, bool waits);
void share_beside(struct share *share, int workers, int slot);

/*
 * Gives slot `slot` of `workers` its part of what of the total is not taken
 * elsewhere. While the share settles, that is less: so much that the larger of
 * part and running tasks of each worker add up to no more. The workers count at
 * different times, but what is too much anywhere, or runs elsewhere, only gets
 * less, and a part only grows with the whole: together they never start more
 * than the total.
 */
void share_set_limit(struct share *share, int workers, int slot);

/* After share_set_limit: no more than `most` in this worker. */
void share_cap(struct share *share, int most);

/* By its limit across hosts: it has at most `lent` slots from now on. Stays so
 * until share_unbind. */
void share_lend(struct share *share, int lent);
void share_unbind(struct share *share);

/* How many may be claimed beside what waits here, by its tokens. */
int share_token_room(const struct share *share);

/* A task of it was claimed, or is no longer held. */
void share_claimed(struct share *share);
void share_released(struct share *share);

/* A task of it starts or has ended; the run time is learnt at the end. */
void share_started(struct share *share, struct mono at);
void share_ended(struct share *share, struct mono began, struct mono ended);

/* A task of it succeeded, having run for so long. */
void share_learn_length(struct share *share, int64_t ran_us);

/* How many slots no claimed task will need. */
int share_free(const struct share *share);

/* How many tasks will leave it within the horizon of `turn_us`, if those that
 * will come run as long as those of `kind` (itself, for any that it has), and
 * others take `promised` of its slots for long: by their rate, and at least as
 * many as are due, whose slots are there for those of a kind that was not
 * measured yet, too. */
int share_ahead(const struct share *share, const struct share *kind,
    int promised, int64_t turn_us, struct mono now);

/* How many more may be claimed: free slots and share_ahead, whatever tokens
 * there are; 0 or more. */
int share_slot_room(const struct share *share, const struct share *kind,
    int promised, int64_t turn_us, struct mono now);

/* The same, and no more than share_token_room. */
int share_room(const struct share *share, const struct share *kind,
    int promised, int64_t turn_us, struct mono now);

#endif
