#include "daemon/scheduler/plan.h"

static const int64_t for_long_ms = 3600 * 1000;

void
plan_init(struct plan *plan, struct mono now)
{
	*plan = (struct plan){.last = CHORES - 1};
	for (int i = 0; i < CHORES; i++) {
		plan->chores[i].limit = PLAN_LIMIT_MIN * 10;
		plan->chores[i].not_before = now;
	}
	plan->next_round = plan->mark_at = now;
	plan->tidy_at = plan->purge_at = plan->due_at = plan->fire_at =
	    mono_add_ms(now, for_long_ms);
	plan->poked = true;
}

void
plan_poke(struct plan *plan)
{
	plan->poked = true;
}

void
plan_ask(struct plan *plan)
{
	plan->asked = plan->poked = true;
	plan->chores[CHORE_CARRY_OUT].wanted = true;
}

void
plan_found(struct plan *plan, enum chore chore)
{
	plan->chores[chore].wanted = true;
}

static int64_t
ms_until(struct mono at, struct mono now)
{
	/* Up, never down: a timer that is early finds nothing. */
	int64_t us = mono_us_between(now, at);
	return us > 0 ? (us + 999) / 1000 : 0;
}

static void
lower(int64_t *wait_ms, struct mono at, struct mono now)
{
	int64_t ms = ms_until(at, now);
	if (ms < *wait_ms)
		*wait_ms = ms;
}

/* A time that has come is used up. */
static bool
has_come(struct mono *at, struct mono now)
{
	if (ms_until(*at, now) > 0)
		return false;
	*at = mono_add_ms(now, for_long_ms);
	return true;
}

static void
want_by_clock(struct plan *plan, struct mono now)
{
	if (has_come(&plan->mark_at, now))
		plan->chores[CHORE_MARK].wanted = true;
	if (has_come(&plan->tidy_at, now))
		plan->chores[CHORE_TIDY].wanted = true;
	if (has_come(&plan->purge_at, now))
		plan->chores[CHORE_PURGE].wanted = true;
	if (has_come(&plan->due_at, now))
		plan->chores[CHORE_DUE].wanted = true;
	if (has_come(&plan->fire_at, now))
		plan->chores[CHORE_FIRE].wanted = true;
}

/* One that failed and waits holds up no round. */
static bool
moving_is_wanted(const struct plan *plan, struct mono now)
{
	for (int i = 0; i < CHORES_MOVING; i++)
		if (plan->chores[i].wanted &&
		    ms_until(plan->chores[i].not_before, now) == 0)
			return true;
	return false;
}

static void
end_round(struct plan *plan, struct mono now)
{
	int64_t pause_ms = mono_ms_between(plan->round_began, now);
	if (pause_ms < PLAN_PAUSE_MIN_MS)
		pause_ms = PLAN_PAUSE_MIN_MS;
	if (pause_ms > PLAN_PAUSE_MAX_MS)
		pause_ms = PLAN_PAUSE_MAX_MS;
	plan->in_round = false;
	plan->next_round = mono_add_ms(now, pause_ms);
}

static void
begin_round(struct plan *plan, struct mono now)
{
	plan->in_round = true;
	plan->poked = plan->moved = false;
	plan->round_began = now;
	/* One that always has more must not keep the others waiting. */
	plan->next_round = mono_add_ms(now, PLAN_PAUSE_MAX_MS);
	for (int i = 0; i < CHORES_MOVING; i++)
		plan->chores[i].had = false;
	/* What is due is no matter of a look. */
	plan_found(plan, CHORE_LOOK);
	plan_found(plan, CHORE_DUE);
}

static void
turn_round(struct plan *plan, struct mono now)
{
	if (plan->in_round && !moving_is_wanted(plan, now))
		end_round(plan, now);
	if ((plan->poked || plan->moved) &&
	    ms_until(plan->next_round, now) == 0)
		begin_round(plan, now);
}

static int64_t
wait_for(const struct plan *plan, struct mono now)
{
	int64_t wait_ms = for_long_ms;
	for (int i = 0; i < CHORES; i++)
		if (plan->chores[i].wanted)
			lower(&wait_ms, plan->chores[i].not_before, now);
	if (!plan->in_round && (plan->poked || plan->moved))
		lower(&wait_ms, plan->next_round, now);
	lower(&wait_ms, plan->mark_at, now);
	lower(&wait_ms, plan->tidy_at, now);
	lower(&wait_ms, plan->purge_at, now);
	lower(&wait_ms, plan->due_at, now);
	lower(&wait_ms, plan->fire_at, now);
	return wait_ms;
}

static bool
may_run(const struct plan *plan, enum chore chore, struct mono now)
{
	const struct plan_chore *one = &plan->chores[chore];
	return one->wanted && ms_until(one->not_before, now) == 0;
}

/* By turns. */
static enum chore
next_in_order(struct plan *plan, struct mono now)
{
	for (int i = 1; i <= CHORES; i++) {
		enum chore chore = (plan->last + i) % CHORES;
		if (may_run(plan, chore, now)) {
			plan->last = chore;
			return chore;
		}
	}
	return CHORE_NONE;
}

enum chore
plan_next(struct plan *plan, struct mono now, int64_t *ret_wait_ms)
{
	enum chore chore = CHORE_CARRY_OUT;
	want_by_clock(plan, now);
	turn_round(plan, now);
	plan->jumped =
	    plan->asked && !plan->jumped && may_run(plan, CHORE_CARRY_OUT, now);
	if (!plan->jumped)
		chore = next_in_order(plan, now);
	if (chore == CHORE_CARRY_OUT)
		plan->asked = false;
	*ret_wait_ms = chore == CHORE_NONE ? wait_for(plan, now) : 0;
	return chore;
}

static void
adapt(struct plan_chore *chore, bool full, int64_t ms)
{
	if (ms > PLAN_SLOW_MS)
		chore->limit /= 2;
	else if (full && ms < PLAN_FAST_MS)
		chore->limit *= 2;
	if (chore->limit < PLAN_LIMIT_MIN)
		chore->limit = PLAN_LIMIT_MIN;
	if (chore->limit > PLAN_LIMIT_MAX)
		chore->limit = PLAN_LIMIT_MAX;
}

static void
note_moved(struct plan *plan, enum chore chore)
{
	plan->moved = true;
	for (int after = (int)chore + 1; after < CHORES_MOVING; after++)
		if (!plan->chores[after].had)
			plan_found(plan, after);
}

void
plan_done(
    struct plan *plan, enum chore chore, int rows, int64_t ms, struct mono now)
{
	struct plan_chore *one = &plan->chores[chore];
	bool full = rows >= one->limit;
	one->wanted = full;
	one->had = true;
	one->not_before = now;
	if (chore < CHORES_MOVING && rows > 0)
		note_moved(plan, chore);
	adapt(one, full, ms);
}

void
plan_failed(struct plan *plan, enum chore chore, struct mono now)
{
	plan->chores[chore].wanted = true;
	plan->chores[chore].not_before = mono_add_ms(now, PLAN_RETRY_MS);
}

void
plan_due_in(struct plan *plan, int64_t ms, struct mono now)
{
	plan->due_at = mono_add_ms(now, ms < 0 ? for_long_ms : ms);
}

void
plan_mark_in(struct plan *plan, int64_t ms, struct mono now)
{
	plan->mark_at = mono_add_ms(now, ms);
}

void
plan_tidy_in(struct plan *plan, int64_t ms, struct mono now)
{
	plan->tidy_at = mono_add_ms(now, ms);
}

void
plan_purge_in(struct plan *plan, int64_t ms, struct mono now)
{
	plan->purge_at = mono_add_ms(now, ms);
}

void
plan_fire_in(struct plan *plan, int64_t ms, struct mono now)
{
	plan->fire_at = mono_add_ms(now, ms);
}

bool
plan_is_idle(const struct plan *plan)
{
	return !plan->in_round && !plan->poked && !plan->moved;
}
