#include "daemon/worker/predecessor.h"

#include <event2/event.h>

#include "common/busy.h"
#include "daemon/worker/worker.h"

static struct share *
by_hash(const struct share_list *list, uint32_t hash)
{
	for (int i = 0; i < list->count; i++)
		if (list->items[i]->hash == hash)
			return list->items[i];
	return NULL;
}

static void
forget_elsewhere(const struct share_list *list)
{
	for (int i = 0; i < list->count; i++)
		list->items[i]->elsewhere = 0;
}

/* It has not been told to drain yet and goes on claiming: whatever we took
 * beside it would be too much. */
static bool
old_serves(const struct worker *worker)
{
	enum scoreboard_state state =
	    scoreboard_state(worker->predecessor.board);

	return state == SCOREBOARD_RUNNING || state == SCOREBOARD_DATABASE_AWAY;
}

static void
leave_all_to_it(const struct share_list *list)
{
	for (int i = 0; i < list->count; i++)
		list->items[i]->elsewhere = list->items[i]->limit;
}

/* Counts what the predecessor runs; returns how many. */
static int
count_old(struct worker *worker)
{
	struct scoreboard_slot slot;
	struct share *share;
	int count = 0;
	bool torn = false;

	forget_elsewhere(&worker->queues);
	forget_elsewhere(&worker->kinds);
	for (int i = 0; i < SCOREBOARD_SLOTS; i++) {
		if (!scoreboard_slot(
			worker->predecessor.board, i, &slot, &torn))
			continue;
		count++;
		if ((share = by_hash(&worker->queues, slot.queue)) != NULL)
			share->elsewhere++;
		if ((share = by_hash(&worker->kinds, slot.kind)) != NULL)
			share->elsewhere++;
	}
	return count;
}

/* It starts nothing any more, or its loop has stood still for so long that it
 * is gone or about to be killed. */
static bool
old_is_over(const struct worker *worker, int count)
{
	const struct scoreboard *old = worker->predecessor.board;
	int64_t still_us = mono_now().us - scoreboard_tick_us(old);

	if (still_us / 1000 > worker->config->watchdog_ms + 2000)
		return true;
	return count == 0 && scoreboard_state(old) == SCOREBOARD_DRAINING;
}

/* Its state is read first: once it drains the count only falls. */
static void
look(struct worker *worker)
{
	struct predecessor *old = &worker->predecessor;
	bool serves = old_serves(worker);
	int count = count_old(worker);

	if (serves) {
		leave_all_to_it(&worker->queues);
		leave_all_to_it(&worker->kinds);
	}
	if (count < old->count || (old->serves && !serves))
		turn_ask(worker);
	old->count = count;
	old->serves = serves;
	if (old_is_over(worker, count)) {
		forget_elsewhere(&worker->queues);
		forget_elsewhere(&worker->kinds);
		old->board = scoreboard_free(old->board);
	}
}

void
predecessor_look(struct worker *worker)
{
	if (worker->predecessor.board != NULL)
		look(worker);
}

static void
on_look(evutil_socket_t fd, short what, void *argument)
{
	struct worker *worker = argument;
	struct predecessor *old = &worker->predecessor;
	struct busy busy = busy_enter("predecessor's slots");
	struct timeval after = {.tv_usec = PREDECESSOR_LOOK_MS * 1000};

	(void)fd, (void)what;
	predecessor_look(worker);
	if (old->board != NULL)
		event_add(old->timer, &after);
	busy_leave(busy);
}

void
predecessor_open(struct worker *worker, struct scoreboard *board)
{
	struct predecessor *old = &worker->predecessor;

	old->board = board;
	old->timer = evtimer_new(worker->base, on_look, worker);
	if (board != NULL)
		event_active(old->timer, 0, 0);
}

void
predecessor_close(struct worker *worker)
{
	struct predecessor *old = &worker->predecessor;

	event_free(old->timer);
	old->board = scoreboard_free(old->board);
}
