#include "supervisor/watchdog.h"

#include <event2/event.h>
#include <stdlib.h>

#include "common/config.h"
#include "common/log.h"
#include "common/scoreboard.h"
#include "supervisor/child.h"
#include "supervisor/generation.h"
#include "supervisor/place.h"
#include "supervisor/supervisor.h"
#include "supervisor/words.h"

/* Eight looks in the limit; more often than once a second on no account. */
static int64_t
interval_ms(int64_t limit_ms)
{
	int64_t interval = limit_ms / 8;
	return interval < 20 ? 20 : interval > 1000 ? 1000 : interval;
}

static void
say_hung(const struct child *child)
{
	char callback[SCOREBOARD_NAME_SIZE], quiet[WORDS_SIZE];
	scoreboard_callback(child->board, callback);
	words_of_time(child->quiet_ms, quiet);
	if (!callback[0])
		log_write(LOG_LEVEL_ERROR, LOG_CHILD_HUNG, NULL,
		    "%s (pid %d): its loop has not turned for %s, in no "
		    "callback; it may be stopped; aborting it",
		    child->name, (int)child->pid, quiet);
	else
		log_write(LOG_LEVEL_ERROR, LOG_CHILD_HUNG, NULL,
		    "%s (pid %d): its loop has not turned for %s; it hangs in "
		    "'%s'; aborting it",
		    child->name, (int)child->pid, quiet, callback);
}

/* `argument`: how long we have been looking away, in ms. */
static void
look(struct child *child, void *argument)
{
	int64_t limit_ms = child->supervisor->current->config->watchdog_ms;
	int64_t tick_us = scoreboard_tick_us(child->board);
	if (!child_has_loop(child) || tick_us != child->seen_tick_us) {
		child->seen_tick_us = tick_us;
		child->quiet_ms = 0;
		return;
	}
	child->quiet_ms += *(int64_t *)argument;
	if (child->quiet_ms < limit_ms)
		return;
	say_hung(child);
	child_abort(child);
}

static void
on_time(evutil_socket_t fd, short what, void *argument)
{
	struct supervisor *supervisor = argument;
	(void)fd;
	(void)what;
	int64_t limit_ms = supervisor->current
			       ? supervisor->current->config->watchdog_ms
			       : 1000;
	int64_t interval = interval_ms(limit_ms);
	struct mono now = mono_now();
	int64_t passed = mono_ms_between(supervisor->watched, now);
	if (passed > 2 * interval)
		passed = interval; /* we did not turn either */
	supervisor->watched = now;
	places_each(supervisor, look, &passed);
	struct timeval next = {
	    .tv_sec = interval / 1000, .tv_usec = interval % 1000 * 1000};
	event_add(supervisor->watchdog, &next);
}

void
watchdog_open(struct supervisor *supervisor)
{
	supervisor->watchdog =
	    evtimer_new(supervisor->base, on_time, supervisor);
	if (!supervisor->watchdog)
		abort();
	supervisor->watched = mono_now();
	on_time(-1, 0, supervisor);
}

void
watchdog_close(struct supervisor *supervisor)
{
	event_free(supervisor->watchdog);
}
