#include "daemon/scheduler/wake.h"

#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/busy.h"
#include "common/child.h"

enum { OTHERS_MS = 100 };

static void
ring(struct wake *wake, struct wake_worker *worker, uint64_t sign)
{
	/* A counter that is full is a worker that is awake. */
	ssize_t written = write(worker->fd, &sign, sizeof sign);
	(void)written;
	wake->written++;
}

static void
rouse(struct wake *wake, struct wake_worker *worker)
{
	ring(wake, worker, CHILD_WAKE_WORK);
	worker->awakened = true;
}

static void
forget_awakened(struct wake *wake)
{
	for (size_t i = 0; i < wake->count; i++)
		wake->workers[i].awakened = false;
}

static void
on_others(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct wake *wake = argument;
	struct busy busy = busy_enter("waking the other workers");
	for (size_t i = 0; i < wake->count; i++)
		if (!wake->workers[i].awakened)
			rouse(wake, &wake->workers[i]);
	forget_awakened(wake);
	busy_leave(busy);
}

void
wake_open(struct wake *wake, struct event_base *base)
{
	wake->others = evtimer_new(base, on_others, wake);
	if (wake->others == NULL)
		abort();
}

void
wake_close(struct wake *wake)
{
	for (size_t i = 0; i < wake->count; i++)
		close(wake->workers[i].fd);
	free(wake->workers);
	event_free(wake->others);
	*wake = (struct wake){0};
}

void
wake_add(struct wake *wake, int32_t slot, int64_t id, int fd)
{
	wake_remove(wake, slot);
	wake->workers =
	    reallocarray(wake->workers, wake->count + 1, sizeof *wake->workers);
	if (wake->workers == NULL)
		abort();
	wake->workers[wake->count++] =
	    (struct wake_worker){.slot = slot, .fd = fd, .id = id};
}

void
wake_remove(struct wake *wake, int32_t slot)
{
	for (size_t i = 0; i < wake->count; i++) {
		if (wake->workers[i].slot != slot)
			continue;
		close(wake->workers[i].fd);
		wake->workers[i] = wake->workers[--wake->count];
		return;
	}
}

void
wake_some(struct wake *wake, int64_t tasks)
{
	struct timeval later = {.tv_usec = OTHERS_MS * 1000};
	if (tasks >= (int64_t)wake->count) {
		wake_all(wake);
		return;
	}
	for (; tasks > 0; tasks--) {
		wake->next = (wake->next + 1) % wake->count;
		rouse(wake, &wake->workers[wake->next]);
	}
	if (!evtimer_pending(wake->others, NULL))
		event_add(wake->others, &later);
}

void
wake_all(struct wake *wake)
{
	for (size_t i = 0; i < wake->count; i++)
		rouse(wake, &wake->workers[i]);
	event_del(wake->others);
	forget_awakened(wake);
}

bool
wake_one(struct wake *wake, int64_t id)
{
	for (size_t i = 0; i < wake->count; i++)
		if (wake->workers[i].id == id) {
			ring(wake, &wake->workers[i], CHILD_WAKE_CANCEL);
			return true;
		}
	return false;
}
