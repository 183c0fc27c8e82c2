#include "supervisor/supervisor.h"

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/config.h"
#include "common/log.h"
#include "config.h"
#include "supervisor/child.h"
#include "supervisor/control.h"
#include "supervisor/deaths.h"
#include "supervisor/generation.h"
#include "supervisor/notify.h"
#include "supervisor/reaper.h"
#include "supervisor/signals.h"
#include "supervisor/start.h"
#include "supervisor/status.h"
#include "supervisor/subtree.h"
#include "supervisor/watchdog.h"

enum {
	EXTEND_MS = 15000, /* what systemd is asked for, every second */
	LOG_CLOSE_MS = 500,
};

const char *
supervisor_state_name(const struct supervisor *supervisor)
{
	switch (supervisor->state) {
	case SUPERVISOR_CHECKING:
	case SUPERVISOR_LOCKING:
	case SUPERVISOR_STARTING:
		return "starting";
	case SUPERVISOR_RUNNING:
		break;
	case SUPERVISOR_DRAINING:
		return "draining";
	}
	return supervisor->reload.step == RELOAD_IDLE ? "running" : "reloading";
}

void
supervisor_wake(struct supervisor *supervisor)
{
	struct timeval at_once = {0};
	event_add(supervisor->step, &at_once);
}

void
supervisor_fail(struct supervisor *supervisor, int exit_code)
{
	if (supervisor->state == SUPERVISOR_DRAINING)
		return;
	supervisor->exit_code = exit_code;
	drain_begin(supervisor, "cannot start");
}

static void
tell_status(struct supervisor *supervisor)
{
	struct text sentence = TEXT_EMPTY;
	status_sentence(supervisor, &sentence);
	notify_status(supervisor->notify, text_string(&sentence));
	text_free(&sentence);
}

static void
on_step(evutil_socket_t fd, short what, void *argument)
{
	struct supervisor *supervisor = argument;
	(void)fd;
	(void)what;
	switch (supervisor->state) {
	case SUPERVISOR_CHECKING:
	case SUPERVISOR_LOCKING:
		break;
	case SUPERVISOR_STARTING:
		start_step(supervisor);
		break;
	case SUPERVISOR_RUNNING:
		reload_step(supervisor);
		break;
	case SUPERVISOR_DRAINING:
		drain_step(supervisor);
		break;
	}
	tell_status(supervisor);
}

/* What goes on while it takes long: systemd waits as long as we say so. */
static void
on_second(evutil_socket_t fd, short what, void *argument)
{
	struct supervisor *supervisor = argument;
	(void)fd;
	(void)what;
	if (supervisor->state != SUPERVISOR_RUNNING ||
	    supervisor->reload.step != RELOAD_IDLE)
		notify_extend(supervisor->notify, EXTEND_MS);
	subtree_sweep_again(supervisor);
	tell_status(supervisor);
}

static void
on_clean(void *argument)
{
	supervisor_wake(argument);
}

static struct event_base *
base_new(void)
{
	struct event_config *config = event_config_new();
	if (!config)
		return NULL;
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	struct event_base *base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

static void
open_all(struct supervisor *supervisor)
{
	struct timeval second = {.tv_sec = 1};
	supervisor->started = mono_now();
	supervisor->subtree = subtree_new();
	supervisor->lock_fd = -1;
	supervisor->base = base_new();
	if (!supervisor->base)
		abort();
	supervisor->step = evtimer_new(supervisor->base, on_step, supervisor);
	supervisor->second =
	    event_new(supervisor->base, -1, EV_PERSIST, on_second, supervisor);
	if (!supervisor->step || !supervisor->second)
		abort();
	event_add(supervisor->second, &second);
	supervisor->reaper = reaper_new(supervisor->base, on_clean, supervisor);
	supervisor->notify = notify_new(supervisor->base);
	supervisor->deaths = deaths_new();
	place_init(&supervisor->scheduler, supervisor, ROLE_SCHEDULER, -1);
	reload_open(supervisor);
	drain_open(supervisor);
	signals_open(supervisor);
	watchdog_open(supervisor);
}

static void
close_workers(struct supervisor *supervisor)
{
	for (int slot = 0; slot < supervisor->worker_places; slot++) {
		place_close(supervisor->workers[slot]);
		free(supervisor->workers[slot]);
	}
	free(supervisor->workers);
	place_close(&supervisor->scheduler);
}

static void
close_all(struct supervisor *supervisor)
{
	watchdog_close(supervisor);
	signals_close(supervisor);
	control_free(supervisor->control);
	close_workers(supervisor);
	drain_close(supervisor);
	reload_close(supervisor);
	start_close(supervisor);
	deaths_free(supervisor->deaths);
	subtree_free(supervisor->subtree);
	reaper_free(supervisor->reaper);
	notify_free(supervisor->notify);
	event_free(supervisor->step);
	event_free(supervisor->second);
	generation_drop(supervisor->current);
	event_base_free(supervisor->base);
	if (supervisor->lock_fd >= 0)
		close(supervisor->lock_fd);
}

int
supervisor_run(const char *config_file)
{
	struct supervisor supervisor = {.config_file = config_file};
	open_all(&supervisor);
	start_begin(&supervisor);
	event_base_dispatch(supervisor.base);
	if (supervisor.current)
		log_write(LOG_LEVEL_NOTICE, LOG_STOPPED, NULL,
		    "stopped (exit code %d)", supervisor.exit_code);
	close_all(&supervisor);
	log_close(LOG_CLOSE_MS);
	return supervisor.exit_code;
}
