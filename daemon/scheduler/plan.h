/*
 * Which chore is next. Pure: no clock of its own, no connection.
 *
 * The moving chores work in rounds: a look tells which of them may find
 * something, and each of these has its turn; what one moves may be work for
 * those that come after it, so they have theirs, too. Those that find as much
 * as they may take have another turn at once, and when none has more, or after
 * 50 ms, a round is over. A round in which something moved is followed by
 * another, after a pause about as long as the round took, 4 ms at least, so
 * that a flood of small changes costs at most half of this process. The others
 * have times of their own. Requests are waited for by people, and by what runs
 * and is to end: when one is told of, they come next, whatever round or pause
 * there is.
 */
#ifndef DAEMON_SCHEDULER_PLAN_H
#define DAEMON_SCHEDULER_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

enum chore {
	/* Moving. */
	CHORE_LOOK,	 /* what there is for the others */
	CHORE_CARRY_OUT, /* requests: cancel, retry, pause … */
	CHORE_ADMIT,	 /* arriving tasks */
	CHORE_UNLOCK,	 /* remainders of wide fan-outs */
	CHORE_DUE,	 /* scheduled tasks whose time has come */
	CHORE_FOLD,	 /* counters and ends of flows */
	CHORE_EXPAND,	 /* maps and nested flows */
	CHORES_MOVING,
	/* By the clock. */
	CHORE_MARK = CHORES_MOVING, /* the safe mark of the lanes */
	CHORE_TIDY,		    /* doubles, learned lengths */
	CHORE_PURGE,		    /* retention */
	CHORE_FIRE,		    /* schedules whose tick has come */
	CHORES,
	CHORE_NONE = CHORES,
};

enum {
	PLAN_LIMIT_MIN = 50,
	PLAN_LIMIT_MAX = 5000,
	PLAN_SLOW_MS = 60, /* a statement is to be shorter: limit halved */
	PLAN_FAST_MS = 15, /* and may take more when shorter than this */
	PLAN_PAUSE_MIN_MS = 4,
	PLAN_PAUSE_MAX_MS = 50,
	PLAN_RETRY_MS = 1000, /* a chore that failed */
};

struct plan_chore {
	bool wanted;
	bool had;  /* a turn in this round */
	int limit; /* rows it may take */
	struct mono not_before;
};

struct plan {
	struct plan_chore chores[CHORES];
	enum chore last; /* the one that ran last: the next comes first */
	bool in_round, poked, moved;
	bool asked;  /* requests go before all others, */
	bool jumped; /* but not twice in a row */
	struct mono round_began, next_round;
	struct mono mark_at, tidy_at, purge_at, due_at, fire_at;
};

void plan_init(struct plan *plan, struct mono now);

/* There may be something: a round is due. */
void plan_poke(struct plan *plan);

/* There is a request. */
void plan_ask(struct plan *plan);

/* The chore to run now, or CHORE_NONE with how long to wait at most. */
enum chore plan_next(struct plan *plan, struct mono now, int64_t *ret_wait_ms);

/* It took `rows` rows in `ms`; it failed. */
void plan_done(
    struct plan *plan, enum chore chore, int rows, int64_t ms, struct mono now);
void plan_failed(struct plan *plan, enum chore chore, struct mono now);

/* A look found something for this one. */
void plan_found(struct plan *plan, enum chore chore);

/* When the next scheduled task is due; negative: there is none. */
void plan_due_in(struct plan *plan, int64_t ms, struct mono now);
/* When mark, tidying, retention and schedules come next. */
void plan_mark_in(struct plan *plan, int64_t ms, struct mono now);
void plan_tidy_in(struct plan *plan, int64_t ms, struct mono now);
void plan_purge_in(struct plan *plan, int64_t ms, struct mono now);
void plan_fire_in(struct plan *plan, int64_t ms, struct mono now);

/* No round runs, none is asked for, and the last one moved nothing. */
bool plan_is_idle(const struct plan *plan);

#endif
