/* The socket of a connection in the event loop. */
#include <event2/event.h>
#include <stdlib.h>

#include "common/busy.h"
#include "common/pg_internal.h"

static void
on_socket(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	struct pg *pg = argument;
	struct busy busy = busy_enter("database answer");
	pg_enter(pg);
	if (pg->state == PG_CONNECTING || pg->state == PG_SETTING_UP)
		pg_setup_io(pg);
	else if ((what & EV_READ) != 0)
		pg_queue_readable(pg);
	else
		pg_queue_writable(pg);
	pg_leave(pg);
	busy_leave(busy);
}

static bool
watch(struct pg *pg, struct event **event, short what)
{
	*event = event_new(pg->base, PQsocket(pg->conn), what, on_socket, pg);
	return *event != NULL && event_add(*event, NULL) == 0;
}

bool
pg_watch_once(struct pg *pg, short what)
{
	pg_watch_stop(pg);
	return watch(pg, &pg->reading, what);
}

bool
pg_watch_session(struct pg *pg)
{
	pg_watch_stop(pg);
	pg->writing =
	    event_new(pg->base, PQsocket(pg->conn), EV_WRITE, on_socket, pg);
	return pg->writing != NULL &&
	       watch(pg, &pg->reading, EV_READ | EV_PERSIST);
}

void
pg_watch_write(struct pg *pg)
{
	event_add(pg->writing, NULL);
}

void
pg_watch_stop(struct pg *pg)
{
	if (pg->reading != NULL)
		event_free(pg->reading);
	if (pg->writing != NULL)
		event_free(pg->writing);
	pg->reading = pg->writing = NULL;
}
