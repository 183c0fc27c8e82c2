/* How much a worker claims ahead: what its measured rate will start before the
 * next turn brings more. */
#include <stddef.h>

#include "daemon/worker/pace.h"
#include "daemon/worker/share.h"

/* The lengths of a kind are known that lie within so much of each other. */
static const double KNOWN_US = 50000;

/* A task that takes longer loses next to nothing by waiting for a turn, so it
 * is left in its line until it has a slot. */
static const double DUE_LONGEST_US = 200000;

/* What waits for a slot is enough while it lasts for so many turns. */
static const double TURNS_SUPPLIED = 1.5;

int
share_company_ms(const struct share *share)
{
	bool quick =
	    share->usual_us > 0 && share->usual_us <= PACE_QUICK_MS * 1000;

	return quick ? PACE_SUPPLIED_QUICK_MS : PACE_SUPPLIED_MS;
}

int64_t
share_horizon_us(const struct share *share, int64_t turn_us)
{
	return 2 * turn_us + (int64_t)share_company_ms(share) * 1000;
}

bool
share_is_brief(const struct share *share, int64_t turn_us)
{
	return share->mean_us != 0 &&
	       share->mean_us <=
		   (double)(2 * turn_us + (int64_t)PACE_SUPPLIED_MS * 1000);
}

/* Of brief ones the usual time: outliers are for share_is_brief to see. */
static double
length_us(const struct share *share, int64_t turn_us)
{
	if (share->usual_us > 0 && share_is_brief(share, turn_us))
		return share->usual_us;
	return share->mean_us;
}

int
share_chain(const struct share *share, int64_t turn_us)
{
	double each_us = length_us(share, turn_us);

	if (each_us == 0)
		return 0;
	if (each_us * SHARE_CHAIN_MAX < SHARE_CHAIN_US)
		return SHARE_CHAIN_MAX;
	return (int)(SHARE_CHAIN_US / each_us);
}

/* What so many that wait for a slot take: lengths that shrink, as those of a
 * flow do, are less than the usual time. */
static double
waiting_us(const struct share *share, int waiting)
{
	double usual_us = waiting * share->usual_us;
	double told_us =
	    (double)share->told_us + (waiting - share->told) * share->usual_us;

	return told_us < usual_us ? told_us : usual_us;
}

bool
share_is_supplied(const struct share *share, int64_t turn_us)
{
	int waiting = share->claimed - share->running + share->following;

	return share->running >= share->limit && waiting >= share->due_soon &&
	       waiting_us(share, waiting) >=
		   TURNS_SUPPLIED * (double)turn_us * share->running;
}

/* Of a length that is known. */
static int64_t
due_us(double least_us, double usual_us, double longest_us)
{
	bool quick = usual_us <= PACE_QUICK_MS * 1000;

	return quick || longest_us > DUE_LONGEST_US ? SHARE_NEVER_DUE
						    : (int64_t)least_us;
}

static int64_t
measured_due_us(const struct share *kind)
{
	if (kind->mean_us - kind->soon_us > KNOWN_US)
		return SHARE_NEVER_DUE;
	return due_us(kind->soon_us, kind->usual_us, kind->mean_us);
}

int64_t
share_due_us(const struct share *kind)
{
	return kind->expecting > 0 ? 0 : measured_due_us(kind);
}

void
share_none_due(struct share *share)
{
	share->due = share->due_soon = 0;
	if (share->longer != NULL)
		share_none_due(share->longer);
}

static void
count_due(struct share *share, bool due, bool due_soon)
{
	if (share == NULL)
		return;
	share->due += due;
	share->due_soon += due_soon;
}

/* It runs for longer than was thought: until when, nobody knows. */
static bool
is_overdue(double length_us, int64_t ran_us)
{
	double over_us = (double)ran_us - length_us;

	return over_us > length_us || over_us > KNOWN_US;
}

int64_t
share_set_due(const struct share_set *set, int64_t expect_us, int64_t ran_us,
    int64_t turn_us)
{
	bool told = expect_us > 0 && !set->kind->doubted;
	double length_us = told ? (double)expect_us : set->kind->mean_us;
	int64_t least_us = told ? due_us(length_us, length_us, length_us)
				: measured_due_us(set->kind);
	int64_t answer_us = (int64_t)(TURNS_SUPPLIED * (double)turn_us);
	int64_t left_us = least_us - ran_us;
	bool due = left_us <= share_horizon_us(set->kind, turn_us);

	if (least_us == SHARE_NEVER_DUE || is_overdue(length_us, ran_us))
		return SHARE_NEVER_DUE;
	count_due(set->queue, due, left_us <= answer_us);
	count_due(set->kind, due, left_us <= answer_us);
	count_due(set->pool, due, left_us <= answer_us);
	count_due(set->longer, due, left_us <= answer_us);
	return left_us > answer_us ? left_us - answer_us : SHARE_NEVER_DUE;
}

/* How many of those that run now end in a us: as measured, unless they have
 * already been at it for clearly longer. */
static double
ends_per_us(int running, int64_t began_sum, double mean_us, struct mono now)
{
	double age;

	if (running == 0 || mean_us == 0)
		return 0;
	age = (double)(now.us - began_sum / running);
	return running / (age > 2 * mean_us ? age : mean_us);
}

int
share_ahead(const struct share *share, const struct share *kind, int promised,
    int64_t turn_us, struct mono now)
{
	static const struct share none;
	const struct share *longer =
	    share->longer != NULL ? share->longer : &none;
	int free_slots = share->limit - share->running - promised;
	int running = share->running - longer->running;
	int64_t began_sum = share->began_sum - longer->began_sum;
	double mean_us = length_us(kind, turn_us), each_us = 0, ahead;

	if (share->limit <= 0)
		return 0;
	if (mean_us == 0)
		return share->due;
	free_slots -= longer->claimed - longer->running;
	if (free_slots > 0)
		each_us += free_slots / mean_us;
	each_us += ends_per_us(running, began_sum, mean_us, now);
	each_us += ends_per_us(
	    longer->running, longer->began_sum, longer->mean_us, now);
	ahead = (double)share_horizon_us(kind, turn_us) * each_us;
	if (ahead < share->due)
		ahead = share->due;
	return ahead > SHARE_AHEAD_MAX ? SHARE_AHEAD_MAX : (int)ahead;
}

int
share_slot_room(const struct share *share, const struct share *kind,
    int promised, int64_t turn_us, struct mono now)
{
	int room = share->limit - share->claimed;
	int ahead = share_ahead(share, kind, promised, turn_us, now);

	if (share->limit <= 0)
		return 0;
	if (ahead > share->following)
		room += ahead - share->following;
	return room < 0 ? 0 : room;
}

int
share_room(const struct share *share, const struct share *kind, int promised,
    int64_t turn_us, struct mono now)
{
	int room = share_slot_room(share, kind, promised, turn_us, now);
	int tokens = share_token_room(share);

	return room < tokens ? room : tokens;
}
