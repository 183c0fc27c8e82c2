#include "daemon/worker/predecessors.h"

#include <event2/event.h>
#include <stdlib.h>

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
set_elsewhere(const struct share_list *list, int tasks)
{
	for (int i = 0; i < list->count; i++)
		list->items[i]->elsewhere = tasks;
}

/* It has not been told to drain yet and goes on claiming: whatever we took
 * beside it would be too much. */
static bool
is_serving(const struct scoreboard *board)
{
	return scoreboard_state(board) != SCOREBOARD_DRAINING;
}

/* Counts what it runs; returns how many. */
static int
count_tasks(struct worker *worker, const struct scoreboard *board)
{
	struct scoreboard_slot slot;
	struct share *share;
	int count = 0;
	bool torn = false;

	for (int i = 0; i < SCOREBOARD_SLOTS; i++) {
		if (!scoreboard_slot(board, i, &slot, &torn))
			continue;
		count++;
		if ((share = by_hash(&worker->queues, slot.queue)) != NULL)
			share->elsewhere++;
		if ((share = by_hash(&worker->kinds, slot.kind)) != NULL)
			share->elsewhere++;
	}
	return count;
}

/* Its loop has stood still for so long that it is gone or about to be
 * killed. */
static bool
stands_still(const struct worker *worker, const struct scoreboard *board)
{
	int64_t still_us = mono_now().us - scoreboard_tick_us(board);

	return still_us / 1000 > worker->config->watchdog_ms + 2000;
}

/* Its state is read first: once it drains the count only falls. True: it
 * starts nothing any more, and nothing is left of it. */
static bool
look_at(struct worker *worker, const struct scoreboard *board)
{
	struct predecessors *old = &worker->predecessors;
	bool serving;
	int count;

	if (stands_still(worker, board))
		return true;
	serving = is_serving(board);
	count = count_tasks(worker, board);
	old->serve |= serving;
	old->tasks += count;
	return count == 0 && !serving;
}

void
predecessors_look(struct worker *worker)
{
	struct predecessors *old = &worker->predecessors;
	int i = 0;

	old->tasks = 0;
	old->serve = false;
	set_elsewhere(&worker->queues, 0);
	set_elsewhere(&worker->kinds, 0);
	while (i < old->count) {
		if (!look_at(worker, old->boards[i])) {
			i++;
			continue;
		}
		scoreboard_free(old->boards[i]);
		old->boards[i] = old->boards[--old->count];
	}
	if (old->serve) {
		set_elsewhere(&worker->queues, SHARE_NO_LIMIT);
		set_elsewhere(&worker->kinds, SHARE_NO_LIMIT);
	}
}

static void
arm(struct predecessors *old)
{
	struct timeval after = {.tv_usec = PREDECESSORS_LOOK_MS * 1000};

	if (old->count > 0)
		event_add(old->timer, &after);
}

static void
on_look(evutil_socket_t fd, short what, void *argument)
{
	struct worker *worker = argument;
	struct predecessors *old = &worker->predecessors;
	struct busy busy = busy_enter("predecessors' slots");
	int tasks = old->tasks;
	bool served = old->serve;

	(void)fd, (void)what;
	worker_share_out(worker);
	if (old->tasks < tasks || (served && !old->serve))
		turn_ask(worker);
	arm(old);
	busy_leave(busy);
}

void
predecessors_open(struct worker *worker, struct scoreboard **boards, int count)
{
	struct predecessors *old = &worker->predecessors;

	old->boards = boards;
	old->count = count;
	old->timer = evtimer_new(worker->base, on_look, worker);
	worker_share_out(worker);
	arm(old);
}

void
predecessors_close(struct worker *worker)
{
	struct predecessors *old = &worker->predecessors;

	event_free(old->timer);
	for (int i = 0; i < old->count; i++)
		scoreboard_free(old->boards[i]);
	free(old->boards);
}
