#include "daemon/worker/time_limit.h"

#include <event2/event.h>
#include <stdlib.h>

#include "common/busy.h"
#include "daemon/worker/worker.h"

enum { BATCH = 128 };

static void on_timer(evutil_socket_t fd, short what, void *argument);

void
time_limit_open(struct worker *worker)
{
	worker->limits.timer = evtimer_new(worker->base, on_timer, worker);
	if (worker->limits.timer == NULL)
		abort();
}

void
time_limit_close(struct worker *worker)
{
	event_free(worker->limits.timer);
}

/* `at`: us 0 stands for never. */
static void
arm(struct time_limit *limits, struct mono at, struct mono now)
{
	int64_t us = mono_us_between(now, at);

	if (at.us == 0 || (limits->armed.us != 0 && limits->armed.us <= at.us))
		return;
	if (us < 0)
		us = 0;
	limits->armed = at;
	event_add(limits->timer,
	    &(struct timeval){.tv_sec = us / 1000000, .tv_usec = us % 1000000});
}

void
time_limit_start(struct worker *worker, struct running *running)
{
	const struct task *task = &running->task;

	if (task->timeout_ms <= 0)
		return;
	running->limit = mono_add_ms(task->started, task->timeout_ms);
	arm(&worker->limits, running->limit, task->started);
}

/* The ids of up to BATCH tasks whose limit is over, how many, and the next
 * limit of those before the last of them. */
static int
find_over(const struct worker *worker, struct mono now, int64_t ids[BATCH],
    struct mono *ret_first)
{
	const struct running *running;
	int count = 0;

	ret_first->us = 0;
	TAILQ_FOREACH(running, &worker->started, link)
	{
		struct mono limit = running->limit;

		if (limit.us == 0)
			continue;
		if (mono_us_between(limit, now) < 0) {
			if (ret_first->us == 0 || limit.us < ret_first->us)
				*ret_first = limit;
			continue;
		}
		ids[count++] = running->task.id;
		if (count == BATCH)
			break;
	}
	return count;
}

/* By its id: a cancel may end any task at once. */
static void
cancel(struct worker *worker, int64_t id)
{
	struct running *running = running_table_find(&worker->table, id);

	if (running == NULL || running->limit.us == 0)
		return;
	running->limit.us = 0;
	run_cancel(worker, running, CANCEL_TIMEOUT, -1);
}

static void
on_timer(evutil_socket_t fd, short what, void *argument)
{
	struct worker *worker = argument;
	struct busy busy = busy_enter("time limit of a task");
	struct mono now = mono_now(), first;
	int64_t ids[BATCH];
	int count;

	(void)fd, (void)what;
	worker->limits.armed.us = 0;
	do {
		count = find_over(worker, now, ids, &first);
		for (int i = 0; i < count; i++)
			cancel(worker, ids[i]);
	} while (count == BATCH);
	arm(&worker->limits, first, now);
	busy_leave(busy);
}
