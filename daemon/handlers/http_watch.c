#include "daemon/handlers/http_watch.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

struct watch {
	struct event *event; /* NULL: never wanted since it was opened */
	short wanted, armed; /* EV_READ, EV_WRITE */
};

struct http_watches {
	struct event_base *base;
	http_watch_ready_cb *on_ready;
	void *argument;
	struct watch *all; /* by number */
	size_t count;
};

struct http_watches *
http_watches_new(
    struct event_base *base, http_watch_ready_cb *on_ready, void *argument)
{
	struct http_watches *watches = calloc(1, sizeof(*watches));

	if (watches == NULL)
		abort();
	watches->base = base;
	watches->on_ready = on_ready;
	watches->argument = argument;
	return watches;
}

struct http_watches *
http_watches_free(struct http_watches *watches)
{
	if (watches == NULL)
		return NULL;
	for (size_t i = 0; i < watches->count; i++)
		if (watches->all[i].event != NULL)
			event_free(watches->all[i].event);
	free(watches->all);
	free(watches);
	return NULL;
}

static struct watch *
watch_of(struct http_watches *watches, int fd)
{
	size_t count = watches->count > 0 ? watches->count : 64;

	while (count <= (size_t)fd)
		count *= 2;
	if (count > watches->count) {
		watches->all =
		    reallocarray(watches->all, count, sizeof(*watches->all));
		if (watches->all == NULL)
			abort();
		memset(watches->all + watches->count, 0,
		    (count - watches->count) * sizeof(*watches->all));
		watches->count = count;
	}
	return &watches->all[fd];
}

static void
disarm(struct watch *watch)
{
	if (watch->armed != 0)
		event_del(watch->event);
	watch->armed = 0;
}

/* One that nobody wants stays armed until something comes: the server has
 * closed a connection that waits for its next transfer. */
static void
on_event(evutil_socket_t fd, short what, void *argument)
{
	struct http_watches *watches = argument;
	struct watch *watch = watch_of(watches, fd);

	if (watch->wanted == 0)
		disarm(watch);
	else
		watches->on_ready(fd, (what & EV_READ) != 0,
		    (what & EV_WRITE) != 0, watches->argument);
}

static void
arm(struct http_watches *watches, struct watch *watch, int fd)
{
	short flags = watch->wanted | EV_PERSIST;

	disarm(watch);
	if (watch->event == NULL)
		watch->event =
		    event_new(watches->base, fd, flags, on_event, watches);
	else if (event_assign(watch->event, watches->base, fd, flags, on_event,
		     watches) < 0)
		abort();
	if (watch->event == NULL || event_add(watch->event, NULL) < 0)
		abort();
	watch->armed = watch->wanted;
}

void
http_watches_want(struct http_watches *watches, int fd, bool in, bool out)
{
	struct watch *watch = watch_of(watches, fd);

	watch->wanted = (short)((in ? EV_READ : 0) | (out ? EV_WRITE : 0));
	if (watch->wanted == 0 && watch->armed != EV_READ)
		disarm(watch);
	else if (watch->wanted != 0 && watch->wanted != watch->armed)
		arm(watches, watch, fd);
}

void
http_watches_opened(struct http_watches *watches, int fd)
{
	struct watch *watch = watch_of(watches, fd);

	if (watch->wanted != 0)
		arm(watches, watch, fd);
}

void
http_watches_closing(struct http_watches *watches, int fd)
{
	struct watch *watch = watch_of(watches, fd);

	if (watch->event != NULL)
		event_free(watch->event);
	*watch = (struct watch){0};
}
