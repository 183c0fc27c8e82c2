#include "supervisor/signals.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>

#include "common/log.h"
#include "supervisor/status.h"
#include "supervisor/supervisor.h"

static void
stop(struct supervisor *supervisor, const char *name)
{
	drain_begin(supervisor, name);
}

static void
reload(struct supervisor *supervisor, const char *name)
{
	(void)name;
	if (supervisor->state != SUPERVISOR_DRAINING)
		(void)reload_request(supervisor); /* nobody waits for it */
}

static void
state(struct supervisor *supervisor, const char *name)
{
	(void)name;
	if (supervisor->current)
		status_log(supervisor);
}

/* Would end the process otherwise. */
static void
nothing(struct supervisor *supervisor, const char *name)
{
	if (supervisor->current)
		log_notice("%s has no effect; to take a new version into use "
			   "restart the service",
		    name);
}

static const struct {
	int number;
	const char *name;
	void (*act)(struct supervisor *supervisor, const char *name);
} table[] = {
    {SIGTERM, "SIGTERM", stop},
    {SIGINT, "SIGINT", stop},
    {SIGHUP, "SIGHUP", reload},
    {SIGUSR1, "SIGUSR1", state},
    {SIGUSR2, "SIGUSR2", nothing},
};

enum { COUNT = sizeof table / sizeof *table };

static void
on_signal(evutil_socket_t number, short what, void *argument)
{
	(void)what;
	for (int i = 0; i < COUNT; i++)
		if (table[i].number == number)
			table[i].act(argument, table[i].name);
}

void
signals_open(struct supervisor *supervisor)
{
	(void)signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < COUNT; i++) {
		supervisor->signals[i] = evsignal_new(
		    supervisor->base, table[i].number, on_signal, supervisor);
		if (!supervisor->signals[i])
			abort();
		event_add(supervisor->signals[i], NULL);
	}
}

void
signals_close(struct supervisor *supervisor)
{
	for (int i = 0; i < COUNT; i++)
		event_free(supervisor->signals[i]);
}
