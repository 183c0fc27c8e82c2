#include "daemon/worker/due.h"

#include <event2/event.h>

#include "daemon/worker/worker.h"

static void
on_timer(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	turn_kick(argument);
}

void
due_open(struct worker *worker)
{
	worker->due.timer = evtimer_new(worker->base, on_timer, worker);
}

void
due_close(struct worker *worker)
{
	event_free(worker->due.timer);
}

static void
forget(struct worker *worker)
{
	for (int i = 0; i < worker->queues.count; i++)
		share_none_due(worker->queues.items[i]);
	for (int i = 0; i < worker->kinds.count; i++)
		share_none_due(worker->kinds.items[i]);
	share_none_due(&worker->sql_share);
	share_none_due(&worker->sql_fast_share);
}

/* The least that any of those that run takes. SHARE_NEVER_DUE: none is looked
 * at. */
static int64_t
shortest_us(const struct share_list *kinds)
{
	int64_t shortest = SHARE_NEVER_DUE;

	for (int i = 0; i < kinds->count; i++) {
		int64_t us = share_due_us(kinds->items[i]);

		if (kinds->items[i]->running > 0 && us < shortest)
			shortest = us;
	}
	return shortest;
}

/* They stand in the order in which they started: where not even one of the
 * shortest would be due, none that follows is. Returns when there is more. */
static int64_t
count(const struct worker *worker, int64_t shortest, struct mono now)
{
	const struct running *running;
	int64_t turn_us = worker->turn.us, next = SHARE_NEVER_DUE;

	TAILQ_FOREACH(running, &worker->started, link)
	{
		const struct share_set *set = &running->shares;
		int64_t ran_us = mono_us_between(running->slot_at, now);
		int64_t us =
		    share_set_due(set, running->expect_us, ran_us, turn_us);

		if (us < next)
			next = us;
		if (shortest - ran_us > share_horizon_us(set->kind, turn_us))
			break;
	}
	return next;
}

void
due_count(struct worker *worker, struct mono now)
{
	int64_t shortest = shortest_us(&worker->kinds), next;
	struct timeval after;

	forget(worker);
	event_del(worker->due.timer);
	if (shortest == SHARE_NEVER_DUE)
		return;
	next = count(worker, shortest, now);
	if (next == SHARE_NEVER_DUE)
		return;
	after.tv_sec = next / 1000000;
	after.tv_usec = next % 1000000;
	event_add(worker->due.timer, &after);
}
