#include "daemon/worker/others.h"

#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/busy.h"
#include "common/log.h"
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
boards_free(struct board_list *list)
{
	for (int i = 0; i < list->count; i++)
		scoreboard_free(list->items[i]);
	free(list->items);
	*list = (struct board_list){0};
}

static void
boards_drop(struct board_list *list, int at)
{
	scoreboard_free(list->items[at]);
	list->items[at] = list->items[--list->count];
}

static bool
leaves(const struct scoreboard *board)
{
	return scoreboard_state(board) == SCOREBOARD_DRAINING;
}

/* Its loop has stood still for so long that it is gone or about to be killed.
 * One that is only starting has not turned yet. */
static bool
stands_still(const struct worker *worker, const struct scoreboard *board)
{
	int64_t tick_us = scoreboard_tick_us(board);

	return tick_us != 0 && (mono_now().us - tick_us) / 1000 >
				   worker->config->watchdog_ms + 2000;
}

static bool
is_behind(const struct worker *worker, const struct scoreboard *board)
{
	return !leaves(board) &&
	       scoreboard_generation(board) < worker->generation;
}

static void
add_task(const struct worker *worker, struct share *share,
    const struct scoreboard *board, bool leaving)
{
	if (share == NULL)
		return;
	if (leaving)
		share->elsewhere++;
	else
		share_beside(
		    share, worker->config->workers, scoreboard_place(board));
}

/* Counts what it runs; returns how many. */
static int
count_tasks(struct worker *worker, const struct scoreboard *board, bool leaving)
{
	struct scoreboard_slot slot;
	int count = 0;
	bool torn;

	for (int i = 0; i < SCOREBOARD_SLOTS; i++) {
		if (!scoreboard_slot(board, i, &slot, &torn))
			continue;
		count++;
		add_task(worker, by_hash(&worker->queues, slot.queue), board,
		    leaving);
		add_task(
		    worker, by_hash(&worker->kinds, slot.kind), board, leaving);
	}
	return count;
}

static void
count_anew(const struct worker *worker, const struct share_list *list)
{
	for (int i = 0; i < list->count; i++)
		share_count_anew(list->items[i], worker->config->workers,
		    worker->others.waits);
}

/* The look for who is behind comes first: who is not by then goes by our
 * limits in all that is counted. So does, of each, the look whether it leaves:
 * from then on the count only falls. */
void
others_look(struct worker *worker)
{
	struct others *others = &worker->others;
	struct board_list *boards = &others->boards;
	int i = 0;

	others->tasks = 0;
	others->waits = false;
	while (i < boards->count) {
		if (stands_still(worker, boards->items[i])) {
			boards_drop(boards, i);
			continue;
		}
		others->waits |= is_behind(worker, boards->items[i++]);
	}
	count_anew(worker, &worker->queues);
	count_anew(worker, &worker->kinds);
	for (i = boards->count - 1; i >= 0; i--) {
		bool leaving = leaves(boards->items[i]);
		int count = count_tasks(worker, boards->items[i], leaving);

		others->tasks += count;
		if (count == 0 && leaving)
			boards_drop(boards, i);
	}
}

static bool
settles(const struct share_list *list)
{
	for (int i = 0; i < list->count; i++)
		if (list->items[i]->settling)
			return true;
	return false;
}

void
others_forget(struct worker *worker)
{
	struct board_list *boards = &worker->others.boards;

	if (settles(&worker->queues) || settles(&worker->kinds))
		return;
	for (int i = boards->count - 1; i >= 0; i--)
		if (!leaves(boards->items[i]))
			boards_drop(boards, i);
}

static void
arm(struct others *others)
{
	struct timeval after = {.tv_usec = OTHERS_LOOK_MS * 1000};

	if (others->boards.count > 0)
		event_add(others->timer, &after);
}

static void
on_look(evutil_socket_t fd, short what, void *argument)
{
	struct worker *worker = argument;
	struct others *others = &worker->others;
	struct busy busy = busy_enter("other workers' slots");
	int tasks = others->tasks;
	bool waited = others->waits;

	(void)fd, (void)what;
	worker_share_out(worker);
	if (others->tasks < tasks || (waited && !others->waits))
		turn_ask(worker);
	arm(others);
	busy_leave(busy);
}

static void
boards_add(struct board_list *list, struct scoreboard *board)
{
	list->items = reallocarray(
	    list->items, (size_t)list->count + 1, sizeof(list->items[0]));
	if (list->items == NULL)
		abort();
	list->items[list->count++] = board;
}

void
others_handed(struct worker *worker, const struct procmsg *message)
{
	struct scoreboard *board = scoreboard_open(message->fd);

	if (board != NULL) {
		boards_add(&worker->others.handed, board);
		return;
	}
	log_error("the scoreboard of another worker cannot be read, ignoring");
	if (message->fd >= 0)
		close(message->fd);
}

void
others_take(struct worker *worker)
{
	struct others *others = &worker->others;

	boards_free(&others->boards);
	others->boards = others->handed;
	others->handed = (struct board_list){0};
	arm(others);
}

void
others_open(struct worker *worker, struct scoreboard **boards, int count)
{
	struct others *others = &worker->others;

	others->boards = (struct board_list){boards, count};
	others->timer = evtimer_new(worker->base, on_look, worker);
	arm(others);
}

void
others_close(struct worker *worker)
{
	struct others *others = &worker->others;

	event_free(others->timer);
	boards_free(&others->boards);
	boards_free(&others->handed);
}
