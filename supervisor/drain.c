#include "supervisor/drain.h"

#include <event2/event.h>
#include <stdlib.h>

#include "common/config.h"
#include "common/log.h"
#include "supervisor/check.h"
#include "supervisor/child.h"
#include "supervisor/deaths.h"
#include "supervisor/generation.h"
#include "supervisor/notify.h"
#include "supervisor/place.h"
#include "supervisor/reaper.h"
#include "supervisor/supervisor.h"
#include "supervisor/words.h"

enum {
	GRACE_MAX_MS = 5000,
	/* Beyond the deadline; all in all, with the margins that children have,
	 * less than 2 s. */
	REPORTS_MS = 600,   /* for the last rescues */
	SCHEDULER_MS = 300, /* for the scheduler's end */
	HANDLERS_MS = 300,
	HURRY_MS = 500,	 /* "at once": to hand back, then they are killed */
	TWICE_MS = 1000, /* two signals within this are one */
};

int64_t
drain_left_ms(const struct supervisor *supervisor)
{
	int64_t left = mono_ms_between(mono_now(), supervisor->drain.deadline);
	return left > 0 ? left : 0;
}

static void
phase_set(
    struct supervisor *supervisor, enum drain_phase phase, int64_t limit_ms)
{
	struct timeval limit = {
	    .tv_sec = limit_ms / 1000, .tv_usec = limit_ms % 1000 * 1000};
	supervisor->drain.phase = phase;
	event_add(supervisor->drain.limit, &limit);
	supervisor_wake(supervisor);
}

/* Running tasks get what is left but the grace time that ends them. */
static int64_t
cancel_after_ms(const struct config *config, int64_t gone_ms)
{
	int64_t grace_ms = config->defaults.grace_ms;
	if (grace_ms > GRACE_MAX_MS)
		grace_ms = GRACE_MAX_MS;
	if (grace_ms > gone_ms / 2)
		grace_ms = gone_ms / 2;
	return gone_ms - grace_ms;
}

static void
drain_worker(struct child *child, void *argument)
{
	int64_t *limits = argument;
	if (child->place->role == ROLE_WORKER)
		child_drain(child, limits[0], limits[1]);
}

static void
kill_worker(struct child *child, void *argument)
{
	(void)argument;
	if (child->place->role == ROLE_WORKER)
		child_kill(child);
}

static void
drain_scheduler(struct child *child, void *argument)
{
	int64_t *gone_ms = argument;
	if (child->place->role == ROLE_SCHEDULER)
		child_drain(child, 0, *gone_ms);
}

static void
workers_drain(struct supervisor *supervisor, int64_t cancel_ms, int64_t gone_ms)
{
	int64_t limits[] = {cancel_ms, gone_ms};
	supervisor->drain.deadline = mono_add_ms(mono_now(), gone_ms);
	places_each(supervisor, drain_worker, limits);
	phase_set(supervisor, DRAIN_WORKERS, gone_ms);
}

static void
begin(struct supervisor *supervisor, const char *reason)
{
	const struct generation *current = supervisor->current;
	int64_t gone_ms = current ? current->config->shutdown_timeout_ms : 0;
	char limit[WORDS_SIZE];
	words_of_time(gone_ms, limit);
	log_notice(
	    "%s: draining; tasks that run have %s to end", reason, limit);
	supervisor->state = SUPERVISOR_DRAINING;
	supervisor->drain.since = mono_now();
	notify_stopping(supervisor->notify);
	notify_extend(supervisor->notify, gone_ms + 5000);
	supervisor->check = check_cancel(supervisor->check);
	reload_abort(supervisor);
	workers_drain(supervisor,
	    current ? cancel_after_ms(current->config, gone_ms) : 0, gone_ms);
}

static void
hurry(struct supervisor *supervisor, const char *reason)
{
	log_notice("%s again: stopping at once", reason);
	supervisor->drain.hurried = true;
	if (supervisor->drain.phase == DRAIN_WORKERS)
		workers_drain(supervisor, 0, HURRY_MS);
}

void
drain_begin(struct supervisor *supervisor, const char *reason)
{
	struct drain *drain = &supervisor->drain;
	if (supervisor->state != SUPERVISOR_DRAINING)
		begin(supervisor, reason);
	else if (!drain->hurried &&
		 mono_ms_between(drain->since, mono_now()) > TWICE_MS)
		hurry(supervisor, reason);
}

/* What the phases wait for. */

static bool
workers_are_gone(const struct supervisor *supervisor)
{
	for (int slot = 0; slot < supervisor->worker_places; slot++)
		if (!place_is_empty(supervisor->workers[slot]))
			return false;
	return true;
}

static bool
reports_are_done(const struct supervisor *supervisor)
{
	return deaths_pending(supervisor->deaths) == 0 ||
	       !place_is_ready(&supervisor->scheduler);
}

static void
finish(struct supervisor *supervisor)
{
	int pending = deaths_pending(supervisor->deaths);
	if (pending > 0)
		log_notice("the tasks of %d dead worker%s are rescued at the "
			   "next start",
		    pending, pending == 1 ? "" : "s");
	if (supervisor->exit_code == 0 && supervisor->drain.unrecorded)
		supervisor->exit_code = 75;
	event_base_loopexit(supervisor->base, NULL);
}

void
drain_step(struct supervisor *supervisor)
{
	int64_t scheduler_ms = SCHEDULER_MS;
	switch (supervisor->drain.phase) {
	case DRAIN_OFF:
		return;
	case DRAIN_WORKERS:
		if (workers_are_gone(supervisor))
			phase_set(supervisor, DRAIN_REPORTS, REPORTS_MS);
		return;
	case DRAIN_REPORTS:
		if (!reports_are_done(supervisor))
			return;
		places_each(supervisor, drain_scheduler, &scheduler_ms);
		phase_set(supervisor, DRAIN_SCHEDULER, INT32_MAX);
		return;
	case DRAIN_SCHEDULER:
		if (place_is_empty(&supervisor->scheduler))
			phase_set(supervisor, DRAIN_HANDLERS, HANDLERS_MS);
		return;
	case DRAIN_HANDLERS:
		if (reaper_is_clean(supervisor->reaper))
			finish(supervisor);
		return;
	}
}

/* A phase's time is over. */
static void
on_limit(evutil_socket_t fd, short what, void *argument)
{
	struct supervisor *supervisor = argument;
	int64_t scheduler_ms = SCHEDULER_MS;
	(void)fd;
	(void)what;
	switch (supervisor->drain.phase) {
	case DRAIN_WORKERS:
		/* they have a margin of their own, then they are killed */
		if (supervisor->drain.hurried)
			places_each(supervisor, kill_worker, NULL);
		return;
	case DRAIN_REPORTS:
		places_each(supervisor, drain_scheduler, &scheduler_ms);
		phase_set(supervisor, DRAIN_SCHEDULER, INT32_MAX);
		return;
	case DRAIN_HANDLERS:
		finish(supervisor);
		return;
	case DRAIN_OFF:
	case DRAIN_SCHEDULER: /* its child has a limit of its own */
		return;
	}
}

void
drain_open(struct supervisor *supervisor)
{
	supervisor->drain.limit =
	    evtimer_new(supervisor->base, on_limit, supervisor);
	if (!supervisor->drain.limit)
		abort();
}

void
drain_close(struct supervisor *supervisor)
{
	event_free(supervisor->drain.limit);
}
