#include "supervisor/start.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/config.h"
#include "common/config_check.h"
#include "common/log.h"
#include "config.h"
#include "supervisor/check.h"
#include "supervisor/control.h"
#include "supervisor/generation.h"
#include "supervisor/leftover.h"
#include "supervisor/lock.h"
#include "supervisor/notify.h"
#include "supervisor/subtree.h"
#include "supervisor/supervisor.h"
#include "supervisor/verbs.h"

enum {
	CHECK_LIMIT_MS = 30000,
	ORPHANS_MS = 50,	  /* between looks */
	ORPHANS_MORE_MS = 6000,	  /* beyond shutdown_timeout: grace and a bit */
	ORPHANS_JUDGE_MS = 500,	  /* between looks for who hangs; at first, too:
				     who was frozen with us has turned by then */
	ORPHANS_KILLED_MS = 2000, /* for the end of who was killed */
	WATCHDOG_FACTOR = 3,
};

/* Nothing runs yet: the loop is simply left. */
static void
stop(struct supervisor *supervisor, int exit_code)
{
	supervisor->exit_code = exit_code;
	event_base_loopexit(supervisor->base, NULL);
}

static void
stop_with(struct supervisor *supervisor, const struct error *error)
{
	log_error("%s", error->text);
	notify_status(supervisor->notify, error->text);
	stop(supervisor, 1);
}

/* To standard error itself: the log's form is part of the configuration. */
static void
wrong_config(struct supervisor *supervisor, const struct config_errors *errors)
{
	struct text text = TEXT_EMPTY;
	char line[sizeof(struct error)];
	config_errors_print(errors, &text);
	(void)!write(STDERR_FILENO, text_string(&text), text.length);
	text_free(&text);
	notify_status(supervisor->notify,
	    error_format(&errors->items[0], line, sizeof line));
	stop(supervisor, 78);
}

static void
warn_of_watchdog(const struct supervisor *supervisor)
{
	int64_t systemd_ms = notify_watchdog_ms(supervisor->notify);
	int64_t own_ms = supervisor->current->config->watchdog_ms;
	if (systemd_ms > 0 && systemd_ms < WATCHDOG_FACTOR * own_ms)
		log_warning("WatchdogSec of the unit (%lld ms) is less than "
			    "three times 'watchdog' (%lld ms): systemd may "
			    "kill all before one hung worker is replaced",
		    (long long)systemd_ms, (long long)own_ms);
}

/* STARTING. */

static void
open_for_work(struct supervisor *supervisor)
{
	struct error error = {0};
	supervisor->control = control_new(supervisor->base,
	    supervisor->current->config->runtime_dir, verbs_request, supervisor,
	    &error);
	if (!supervisor->control) {
		stop_with(supervisor, &error);
		return;
	}
	subtree_sweep(supervisor);
	supervisor->state = SUPERVISOR_STARTING;
	place_want(&supervisor->scheduler);
	supervisor_wake(supervisor);
}

static bool
workers_are_ready(struct supervisor *supervisor)
{
	int wanted = supervisor->current->config->workers, ready = 0;
	for (int slot = 0; slot < wanted; slot++)
		ready += place_is_ready(places_worker(supervisor, slot));
	return ready == wanted;
}

static void
say_ready(const struct supervisor *supervisor, int workers)
{
	log_write(LOG_LEVEL_NOTICE, LOG_STARTED, NULL,
	    "musterd %s is ready: %d worker%s, configuration %s",
	    PACKAGE_VERSION, workers, workers == 1 ? "" : "s",
	    supervisor->config_file);
	if (supervisor->current->config->redis == NULL)
		log_notice("no redis is configured: no events and no progress, "
			   "and a host that vanishes is noticed by PostgreSQL "
			   "alone");
}

void
start_step(struct supervisor *supervisor)
{
	int wanted = supervisor->current->config->workers;
	if (!supervisor->scheduler.worked)
		return; /* it rescues first */
	for (int slot = 0; slot < wanted; slot++)
		place_want(places_worker(supervisor, slot));
	if (!workers_are_ready(supervisor))
		return;
	supervisor->state = SUPERVISOR_RUNNING;
	notify_ready(supervisor->notify);
	say_ready(supervisor, wanted);
	supervisor_wake(supervisor); /* a reload may have been asked for */
}

/* LOCKING. */

/* Who hangs does not drain; when time is up, nobody may. */
static void
judge_orphans(struct supervisor *supervisor, bool over)
{
	const struct config *config = supervisor->current->config;
	struct mono now = mono_now();
	if (mono_ms_between(supervisor->judged, now) < ORPHANS_JUDGE_MS)
		return;
	if (leftover_kill(
		config->runtime_dir, over ? 0 : config->watchdog_ms) == 0)
		supervisor->judged = now;
}

static void
look_for_orphans(struct supervisor *supervisor)
{
	const struct config *config = supervisor->current->config;
	struct timeval again = {.tv_usec = ORPHANS_MS * 1000};
	int64_t limit_ms = config->shutdown_timeout_ms + ORPHANS_MORE_MS;
	int64_t waited_ms = mono_ms_between(supervisor->started, mono_now());
	int held = lock_orphans(config->runtime_dir);
	if (held == -EWOULDBLOCK && waited_ms < limit_ms + ORPHANS_KILLED_MS) {
		judge_orphans(supervisor, waited_ms >= limit_ms);
		event_add(supervisor->orphans, &again);
		return;
	}
	if (held == -EWOULDBLOCK)
		log_warning("workers of an earlier musterd cannot be killed; "
			    "going on: their tasks are rescued, what they "
			    "still do does not count");
	open_for_work(supervisor);
}

static void
on_orphans(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	struct supervisor *supervisor = argument;
	if (supervisor->state == SUPERVISOR_LOCKING)
		look_for_orphans(supervisor);
}

static void
lock(struct supervisor *supervisor)
{
	const struct config *config = supervisor->current->config;
	struct error error = {0};
	supervisor->state = SUPERVISOR_LOCKING;
	int fd = lock_take(config->runtime_dir, &error);
	if (fd < 0) {
		stop_with(supervisor, &error);
		return;
	}
	supervisor->lock_fd = fd;
	supervisor->judged = mono_now();
	if (lock_orphans(config->runtime_dir) == -EWOULDBLOCK)
		log_notice("workers of an earlier musterd still run; waiting "
			   "for their end");
	supervisor->orphans =
	    evtimer_new(supervisor->base, on_orphans, supervisor);
	if (!supervisor->orphans)
		abort();
	look_for_orphans(supervisor);
}

/* CHECKING. */

static void
on_verdict(struct config *config, const struct text *blob,
    const struct config_errors *errors, void *argument)
{
	struct supervisor *supervisor = argument;
	supervisor->check = NULL;
	if (!config) {
		wrong_config(supervisor, errors);
		return;
	}
	log_open("supervisor", -1, config->log_format);
	log_set_level(config->log_level);
	supervisor->current = generation_new(1, config, blob);
	if (!supervisor->current) {
		log_error("no memory: %s", strerror(errno));
		stop(supervisor, 1);
		return;
	}
	warn_of_watchdog(supervisor);
	subtree_say(supervisor);
	lock(supervisor);
}

void
start_begin(struct supervisor *supervisor)
{
	supervisor->check = check_start(supervisor->base, supervisor->reaper,
	    supervisor->config_file, CHECK_LIMIT_MS, on_verdict, supervisor);
	if (supervisor->check)
		return;
	fprintf(
	    stderr, "musterd: cannot start a process: %s\n", strerror(errno));
	stop(supervisor, 1);
}

void
start_close(struct supervisor *supervisor)
{
	if (supervisor->orphans)
		event_free(supervisor->orphans);
}
