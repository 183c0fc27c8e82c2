/* How much a worker claims ahead: what its measured rate will start before the
 * next turn brings more. */
#include <stddef.h>

#include "daemon/worker/pace.h"
#include "daemon/worker/share.h"

/* Up to this length tasks are taken to last as long as is usual. */
static const double TOGETHER_US = 50000;

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

bool
share_is_supplied(const struct share *share, int64_t turn_us)
{
	int waiting = share->claimed - share->running + share->following;

	return share->running >= share->limit &&
	       waiting * share->usual_us >=
		   TURNS_SUPPLIED * (double)turn_us * share->running;
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

/* Tasks that started together end together: whether those that run are, on the
 * whole, due within the horizon. Of longer ones nobody knows it that well. */
static bool
are_due(int running, int64_t began_sum, const struct share *kind,
    int64_t turn_us, struct mono now)
{
	double age;

	if (running == 0 || kind->mean_us > TOGETHER_US)
		return false;
	age = (double)(now.us - began_sum / running);
	return age + (double)share_horizon_us(kind, turn_us) >=
		   kind->usual_us &&
	       age <= 2 * kind->usual_us;
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

	if (mean_us == 0 || share->limit <= 0)
		return 0;
	free_slots -= longer->claimed - longer->running;
	if (free_slots > 0)
		each_us += free_slots / mean_us;
	each_us += ends_per_us(running, began_sum, mean_us, now);
	each_us += ends_per_us(
	    longer->running, longer->began_sum, longer->mean_us, now);
	ahead = (double)share_horizon_us(kind, turn_us) * each_us;
	if (ahead < running && are_due(running, began_sum, kind, turn_us, now))
		ahead = running;
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
