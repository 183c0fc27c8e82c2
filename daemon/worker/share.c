#include "daemon/worker/share.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/scoreboard.h"

enum { LEARN = 16 }; /* a new run time counts one part in so many */

int
share_part(int total, int workers, int slot)
{
	if (workers < 1 || slot < 0 || slot >= workers)
		return 0;
	return total / workers + (slot < total % workers ? 1 : 0);
}

static struct share *
share_new(const char *name)
{
	struct share *share = calloc(1, sizeof(*share));

	if (share == NULL || (share->name = strdup(name)) == NULL)
		abort();
	share->hash = scoreboard_hash(name);
	return share;
}

struct share *
share_list_get(struct share_list *list, const char *name)
{
	for (int i = 0; i < list->count; i++)
		if (strcmp(list->items[i]->name, name) == 0)
			return list->items[i];
	list->items = reallocarray(
	    list->items, (size_t)list->count + 1, sizeof(list->items[0]));
	if (list->items == NULL)
		abort();
	list->items[list->count] = share_new(name);
	return list->items[list->count++];
}

void
share_list_free(struct share_list *list)
{
	for (int i = 0; i < list->count; i++) {
		free(list->items[i]->name);
		free(list->items[i]);
	}
	free(list->items);
	*list = (struct share_list){0};
}

void
share_set_limit(struct share *share, int total, int workers, int slot)
{
	if (total >= SHARE_NO_LIMIT)
		share->limit = SHARE_NO_LIMIT;
	else if (total <= share->elsewhere)
		share->limit = 0;
	else
		share->limit =
		    share_part(total - share->elsewhere, workers, slot);
}

bool
share_can_start(const struct share *share)
{
	return share->running < share->limit;
}

void
share_claimed(struct share *share)
{
	share->claimed++;
}

void
share_released(struct share *share)
{
	assert(share->claimed > 0);
	share->claimed--;
}

void
share_started(struct share *share, struct mono at)
{
	share->running++;
	share->began_sum += at.us;
}

void
share_ended(struct share *share, struct mono began, struct mono ended)
{
	double ran = (double)(ended.us - began.us);

	assert(share->running > 0);
	share->running--;
	share->began_sum -= began.us;
	if (ran < 1)
		ran = 1;
	if (share->mean_us == 0)
		share->mean_us = ran;
	else
		share->mean_us += (ran - share->mean_us) / LEARN;
}

/* Of those that run now: what was measured, unless they have already been at
 * it for clearly longer. */
static double
expected_us(const struct share *share, struct mono now)
{
	double age = (double)(now.us - share->began_sum / share->running);

	return age > 2 * share->mean_us ? age : share->mean_us;
}

int
share_ahead(const struct share *share, int64_t turn_us, struct mono now)
{
	int free_slots = share->limit - share->running;
	double each_us = 0, ahead;

	if (share->mean_us == 0 || share->limit <= 0)
		return 0;
	if (free_slots > 0)
		each_us += free_slots / share->mean_us;
	if (share->running > 0)
		each_us += share->running / expected_us(share, now);
	ahead = 1.5 * (double)turn_us * each_us;
	return ahead > SHARE_AHEAD_MAX ? SHARE_AHEAD_MAX : (int)ahead;
}

int
share_room(const struct share *share, int64_t turn_us, struct mono now)
{
	int room = share->limit - share->claimed;

	if (share->limit <= 0)
		return 0;
	room += share_ahead(share, turn_us, now);
	return room < 0 ? 0 : room;
}

bool
share_set_can_start(const struct share_set *set)
{
	return share_can_start(set->queue) && share_can_start(set->kind) &&
	       (set->pool == NULL || share_can_start(set->pool));
}

void
share_set_claimed(const struct share_set *set)
{
	share_claimed(set->queue);
	share_claimed(set->kind);
	if (set->pool != NULL)
		share_claimed(set->pool);
}

void
share_set_released(const struct share_set *set)
{
	share_released(set->queue);
	share_released(set->kind);
	if (set->pool != NULL)
		share_released(set->pool);
}

void
share_set_started(const struct share_set *set, struct mono at)
{
	share_started(set->queue, at);
	share_started(set->kind, at);
	if (set->pool != NULL)
		share_started(set->pool, at);
}

void
share_set_ended(
    const struct share_set *set, struct mono began, struct mono ended)
{
	share_ended(set->queue, began, ended);
	share_ended(set->kind, began, ended);
	if (set->pool != NULL)
		share_ended(set->pool, began, ended);
}
