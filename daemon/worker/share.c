#include "daemon/worker/share.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/scoreboard.h"

/* A new run time counts one part in so many: one that is longer than thought
 * is believed sooner, or a kind that is quick as a rule and slow at times would
 * be taken for a quick one again and again. The usual one is that of more tasks
 * the more are claimed ahead by it: they end in bursts, above all when what was
 * claimed has run out, so what counts is how many were claimed of late, over so
 * many ends. The least follows lengths that shrink: what is asked for early
 * waits a little, what is asked for late leaves a slot idle. */
enum {
	LEARN_LONGER = 2,
	LEARN_SHORTER = 32,
	LEARN_USUAL = 16,
	LEARN_CLAIMED = 1000,
	LEARN_SOON_LONGER = 16,
	LEARN_SOON_SHORTER = 4,
};

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
	share->settling = true;
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

struct share *
share_list_get_queue(struct share_list *list, const char *name)
{
	struct share *share = share_list_get(list, name);

	if (share->longer == NULL) {
		share->longer = share_new(name);
		share->longer->whole = share;
	}
	return share;
}

static void
share_delete(struct share *share)
{
	if (share == NULL)
		return;
	share_delete(share->longer);
	free(share->beside);
	free(share->name);
	free(share);
}

void
share_list_free(struct share_list *list)
{
	for (int i = 0; i < list->count; i++)
		share_delete(list->items[i]);
	free(list->items);
	*list = (struct share_list){0};
}

void
share_set_total(struct share *share, int total)
{
	if (total < share->total)
		share->settling = true;
	share->total = total;
}

void
share_count_anew(struct share *share, int workers, bool waits)
{
	share->waits = waits;
	share->elsewhere = 0;
	free(share->beside);
	share->beside = NULL;
	if (!share->settling)
		return;
	share->beside = calloc((size_t)workers, sizeof(share->beside[0]));
	if (share->beside == NULL)
		abort();
}

void
share_beside(struct share *share, int workers, int slot)
{
	if (share->beside != NULL && slot < workers)
		share->beside[slot]++;
}

/* What the workers run at most, if so many slots are shared out. */
static int
most(const struct share *share, int slots, int workers, int slot)
{
	int sum = 0;

	for (int i = 0; i < workers; i++) {
		int part = share_part(slots, workers, i);
		int runs = share->beside != NULL ? share->beside[i] : 0;

		if (i == slot)
			runs = share->running;
		sum += runs > part ? runs : part;
	}
	return sum;
}

/* How many of the free slots are shared out while others, or we ourselves, run
 * more than their parts: as many as can be, beside what is too much. */
static int
settle(struct share *share, int slots, int workers, int slot)
{
	int low = 0, high = slots;

	while (low < high) {
		int middle = low + (high - low + 1) / 2;

		if (most(share, middle, workers, slot) <= slots)
			low = middle;
		else
			high = middle - 1;
	}
	share->settling = low < slots;
	return low;
}

static void
apply(struct share *share)
{
	share->limit = share->part;
	if (share->bounded && share->lent < share->limit)
		share->limit = share->lent;
	if (share->longer != NULL)
		share->longer->limit = share->limit;
}

void
share_set_limit(struct share *share, int workers, int slot)
{
	int slots = share->total > share->elsewhere
			? share->total - share->elsewhere
			: 0;

	if (share->settling)
		slots = share->waits ? 0 : settle(share, slots, workers, slot);
	share->part = share->total >= SHARE_NO_LIMIT
			  ? SHARE_NO_LIMIT
			  : share_part(slots, workers, slot);
	apply(share);
}

void
share_cap(struct share *share, int most)
{
	if (share->part > most)
		share->part = most;
	apply(share);
}

void
share_lend(struct share *share, int lent)
{
	share->bounded = true;
	share->lent = lent;
	apply(share);
}

void
share_unbind(struct share *share)
{
	share->bounded = false;
	apply(share);
}

int
share_token_room(const struct share *share)
{
	int waiting;

	if (share->whole != NULL)
		share = share->whole;
	if (!share->rated)
		return SHARE_NO_LIMIT;
	waiting = share->claimed - share->running + share->following;
	return share->tokens > waiting ? share->tokens - waiting : 0;
}

bool
share_can_start(const struct share *share)
{
	return share->running < share->limit &&
	       (!share->rated || share->tokens > 0);
}

void
share_claimed(struct share *share)
{
	share->claimed++;
	if (share->claimed > share->most)
		share->most = share->claimed;
	share->gained = true;
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
	if (share->rated) {
		share->tokens--;
		share->spent_at = at;
	}
}

/* At once when it grows. */
static void
learn_claimed(struct share *share)
{
	double more = share->claimed - share->usual_claimed;

	share->usual_claimed += more > 0 ? more : more / LEARN_CLAIMED;
}

static void
learn_soon(struct share *share, double ran)
{
	double more = ran - share->soon_us;

	if (share->soon_us == 0)
		share->soon_us = ran;
	else
		share->soon_us +=
		    more / (more > 0 ? LEARN_SOON_LONGER : LEARN_SOON_SHORTER);
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
	learn_claimed(share);
	share->usual_us += share->usual_us == 0
			       ? ran
			       : (ran - share->usual_us) /
				     (LEARN_USUAL + share->usual_claimed);
	learn_soon(share, ran);
	if (share->mean_us == 0)
		share->mean_us = ran;
	else if (ran > share->mean_us)
		share->mean_us += (ran - share->mean_us) / LEARN_LONGER;
	else
		share->mean_us += (ran - share->mean_us) / LEARN_SHORTER;
}

void
share_learn_length(struct share *share, int64_t ran_us)
{
	share->ran_us += ran_us;
	share->ran_count++;
}

int
share_free(const struct share *share)
{
	int slots = share->limit - share->claimed;
	int tokens = share_token_room(share);

	if (slots > tokens)
		slots = tokens;
	return slots > 0 ? slots : 0;
}

bool
share_set_can_start(const struct share_set *set)
{
	return share_can_start(set->queue) && share_can_start(set->kind) &&
	       (set->pool == NULL || share_can_start(set->pool));
}

void
share_set_expect(const struct share_set *set)
{
	set->kind->expecting++;
}

void
share_set_expected(
    const struct share_set *set, int64_t expect_us, int64_t ran_us)
{
	assert(set->kind->expecting > 0);
	set->kind->expecting--;
	set->kind->doubted = ran_us > 2 * expect_us || 2 * ran_us < expect_us;
}

static void
count_told(struct share *share, int more, int64_t us)
{
	if (share == NULL)
		return;
	share->told += more;
	share->told_us += us;
	assert(
	    share->told >= 0 && share->told <= share->claimed - share->running);
}

static void
count_told_in_set(const struct share_set *set, int more, int64_t us)
{
	count_told(set->queue, more, us);
	count_told(set->kind, more, us);
	count_told(set->pool, more, us);
	count_told(set->longer, more, us);
}

void
share_set_told(const struct share_set *set, int64_t expect_us)
{
	if (expect_us > 0)
		count_told_in_set(set, 1, expect_us);
}

void
share_set_untold(const struct share_set *set, int64_t expect_us)
{
	if (expect_us > 0)
		count_told_in_set(set, -1, -expect_us);
}

static bool
is_over(const struct share *share)
{
	return share->running > share->limit;
}

bool
share_set_is_over(const struct share_set *set)
{
	return is_over(set->queue) || is_over(set->kind);
}

static void
count_following(const struct share_set *set, int more)
{
	set->queue->following += more;
	set->kind->following += more;
	if (set->pool != NULL)
		set->pool->following += more;
}

void
share_set_follows(const struct share_set *set)
{
	count_following(set, 1);
}

void
share_set_followed(const struct share_set *set)
{
	count_following(set, -1);
}

void
share_set_claimed(const struct share_set *set)
{
	share_claimed(set->queue);
	share_claimed(set->kind);
	if (set->pool != NULL)
		share_claimed(set->pool);
	if (set->longer != NULL)
		share_claimed(set->longer);
}

void
share_set_released(const struct share_set *set)
{
	share_released(set->queue);
	share_released(set->kind);
	if (set->pool != NULL)
		share_released(set->pool);
	if (set->longer != NULL)
		share_released(set->longer);
}

void
share_set_started(const struct share_set *set, struct mono at)
{
	share_started(set->queue, at);
	share_started(set->kind, at);
	if (set->pool != NULL)
		share_started(set->pool, at);
	if (set->longer != NULL)
		share_started(set->longer, at);
}

void
share_set_ended(
    const struct share_set *set, struct mono began, struct mono ended)
{
	share_ended(set->queue, began, ended);
	share_ended(set->kind, began, ended);
	if (set->pool != NULL)
		share_ended(set->pool, began, ended);
	if (set->longer != NULL)
		share_ended(set->longer, began, ended);
}
