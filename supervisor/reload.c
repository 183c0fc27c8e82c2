#include "supervisor/reload.h"

#include <errno.h>
#include <event2/event.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "supervisor/check.h"
#include "supervisor/child.h"
#include "supervisor/control.h"
#include "supervisor/generation.h"
#include "supervisor/notify.h"
#include "supervisor/place.h"
#include "supervisor/subtree.h"
#include "supervisor/supervisor.h"
#include "supervisor/verdict.h"

enum { CHECK_LIMIT_MS = 10000, APPLY_LIMIT_MS = 30000 };

static const char *
change_name(enum config_change change)
{
	switch (change) {
	case CONFIG_SAME:
		return "nothing";
	case CONFIG_IN_PLACE:
		return "in place";
	case CONFIG_NEW_WORKERS:
		return "new workers";
	case CONFIG_RESTART:
		break;
	}
	return "restart";
}

static void
limit_set(struct reload *reload, int64_t ms)
{
	struct timeval limit = {
	    .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	event_add(reload->limit, &limit);
}

/* Verdicts. */

static void
over(struct supervisor *supervisor)
{
	struct reload *reload = &supervisor->reload;
	event_del(reload->limit);
	reload->step = RELOAD_IDLE;
	reload->next = generation_drop(reload->next);
	notify_ready(supervisor->notify);
	supervisor_wake(supervisor);
}

static void
succeed(struct supervisor *supervisor)
{
	struct reload *reload = &supervisor->reload;
	uint64_t generation = supervisor->current->number;
	free(reload->refused);
	reload->refused = NULL;
	log_write(LOG_LEVEL_NOTICE, LOG_RELOADED, NULL,
	    "reloaded %s: configuration %llu is in force (changed: %s)",
	    supervisor->config_file, (unsigned long long)generation,
	    change_name(reload->change));
	subtree_warn(supervisor);
	verdict_accept(supervisor->control, reload->number, generation,
	    change_name(reload->change));
	over(supervisor);
}

static void
refuse_all(struct supervisor *supervisor, const struct config_errors *errors)
{
	struct reload *reload = &supervisor->reload;
	char line[sizeof(struct error)];
	for (size_t i = 0; i < errors->count; i++)
		log_write(LOG_LEVEL_ERROR, LOG_RELOAD_REFUSED, NULL, "%s",
		    error_format(&errors->items[i], line, sizeof line));
	log_write(LOG_LEVEL_ERROR, LOG_RELOAD_REFUSED, NULL,
	    "the new configuration is refused, the one from before stays in "
	    "force");
	free(reload->refused);
	reload->refused =
	    strdup(error_format(&errors->items[0], line, sizeof line));
	verdict_refuse(supervisor->control, reload->number, errors);
	over(supervisor);
}

static void refuse(struct supervisor *supervisor, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void
refuse(struct supervisor *supervisor, const char *format, ...)
{
	struct error error = {0};
	char sentence[sizeof error.text];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(sentence, sizeof sentence, format, arguments);
	va_end(arguments);
	error_set(&error, "%s", sentence);
	refuse_all(
	    supervisor, &(struct config_errors){.items = &error, .count = 1});
}

/* Applying. */

static void
reconfigure(struct child *child, void *argument)
{
	if (child == child->place->serving)
		child_reconfigure(child, argument);
}

static void
in_force(struct supervisor *supervisor)
{
	struct reload *reload = &supervisor->reload;
	generation_drop(supervisor->current);
	supervisor->current = reload->next;
	reload->next = NULL;
	supervisor->log_level = 0;
	log_set_level(supervisor->current->config->log_level);
}

static void
apply_in_place(struct supervisor *supervisor)
{
	in_force(supervisor);
	places_each(supervisor, reconfigure, supervisor->current);
	supervisor->reload.step = RELOAD_TAKING;
	limit_set(&supervisor->reload, APPLY_LIMIT_MS);
}

static void
give_up(struct supervisor *supervisor)
{
	for (int slot = 0; slot < supervisor->worker_places; slot++)
		place_give_up(supervisor->workers[slot]);
	place_give_up(&supervisor->scheduler);
}

static void
apply_new_workers(struct supervisor *supervisor)
{
	struct generation *next = supervisor->reload.next;
	bool started = place_prepare(&supervisor->scheduler, next);
	for (int slot = 0; slot < next->config->workers && started; slot++)
		started = place_prepare(places_worker(supervisor, slot), next);
	supervisor->reload.step = RELOAD_REPLACING;
	limit_set(&supervisor->reload, APPLY_LIMIT_MS);
	if (!started)
		reload_failed(supervisor, "no process could be started");
}

/* Slots beyond the number of workers are left. */
static void
switch_over(struct supervisor *supervisor)
{
	int wanted = supervisor->reload.next->config->workers;
	in_force(supervisor);
	for (int slot = 0; slot < wanted; slot++)
		place_switch(supervisor->workers[slot]);
	for (int slot = wanted; slot < supervisor->worker_places; slot++)
		place_unwant(supervisor->workers[slot]);
	place_switch(&supervisor->scheduler);
	succeed(supervisor);
}

void
reload_failed(struct supervisor *supervisor, const char *reason)
{
	if (supervisor->reload.step != RELOAD_REPLACING)
		return;
	give_up(supervisor);
	refuse(supervisor, "workers with the new configuration failed: %s",
	    reason);
}

/* Checking. */

static void
on_verdict(struct config *config, const struct text *blob,
    const struct config_errors *errors, void *argument)
{
	struct supervisor *supervisor = argument;
	struct reload *reload = &supervisor->reload;
	const char *key = NULL;
	reload->check = NULL;
	if (!config) {
		refuse_all(supervisor, errors);
		return;
	}
	reload->change =
	    config_compare(supervisor->current->config, config, &key);
	if (reload->change == CONFIG_RESTART) {
		config_free(config);
		refuse(supervisor,
		    "'%s' has changed, which needs a restart of the service",
		    key);
		return;
	}
	uint64_t number = supervisor->current->number + 1;
	reload->next = generation_new(number, config, blob);
	if (!reload->next) {
		refuse(supervisor, "no memory for it: %s", strerror(errno));
		return;
	}
	reload->step = RELOAD_WAITING;
	supervisor_wake(supervisor);
}

static void
check(struct supervisor *supervisor)
{
	struct reload *reload = &supervisor->reload;
	reload->number++;
	reload->again = false;
	reload->step = RELOAD_CHECKING;
	notify_reloading(supervisor->notify);
	reload->check = check_start(supervisor->base, supervisor->reaper,
	    supervisor->config_file, CHECK_LIMIT_MS, on_verdict, supervisor);
	if (!reload->check)
		refuse(supervisor, "cannot start a process to read it: %s",
		    strerror(errno));
}

uint64_t
reload_request(struct supervisor *supervisor)
{
	supervisor->reload.again = true;
	supervisor_wake(supervisor);
	return supervisor->reload.number + 1;
}

/* What the steps wait for. */

static void
count_leaving(struct child *child, void *argument)
{
	*(int *)argument += child == child->place->leaving;
}

static void
count_taking(struct child *child, void *argument)
{
	const struct generation *current = child->supervisor->current;
	*(int *)argument +=
	    child == child->place->serving &&
	    (child->taken < current->number || child->state < CHILD_RUNNING);
}

static void
count_coming(struct child *child, void *argument)
{
	*(int *)argument +=
	    child == child->place->coming && child->state != CHILD_RUNNING;
}

static int
count(struct supervisor *supervisor,
    void (*see)(struct child *child, void *argument))
{
	int number = 0;
	places_each(supervisor, see, &number);
	return number;
}

/* Waits where a third generation would come to life beside two. */
static void
apply(struct supervisor *supervisor)
{
	enum config_change change = supervisor->reload.change;
	if (change == CONFIG_SAME)
		succeed(supervisor);
	else if (change == CONFIG_IN_PLACE)
		apply_in_place(supervisor);
	else if (change == CONFIG_NEW_WORKERS &&
		 count(supervisor, count_leaving) == 0)
		apply_new_workers(supervisor);
}

void
reload_step(struct supervisor *supervisor)
{
	struct reload *reload = &supervisor->reload;
	switch (reload->step) {
	case RELOAD_IDLE:
		if (reload->again && supervisor->state == SUPERVISOR_RUNNING)
			check(supervisor);
		return;
	case RELOAD_CHECKING:
		return;
	case RELOAD_WAITING:
		apply(supervisor);
		return;
	case RELOAD_TAKING:
		if (count(supervisor, count_taking) == 0)
			succeed(supervisor);
		return;
	case RELOAD_REPLACING:
		if (count(supervisor, count_coming) == 0)
			switch_over(supervisor);
		return;
	}
}

static void
say_slow(struct child *child, void *argument)
{
	(void)argument;
	int slow = 0;
	count_taking(child, &slow);
	if (slow)
		log_warning("%s (pid %d) does not use the new configuration "
			    "yet: %s",
		    child->name, (int)child->pid,
		    child->status[0] ? child->status : child_state_name(child));
}

static void
on_limit(evutil_socket_t fd, short what, void *argument)
{
	struct supervisor *supervisor = argument;
	(void)fd;
	(void)what;
	if (supervisor->reload.step == RELOAD_REPLACING) {
		reload_failed(supervisor, "not ready within 30 s");
		return;
	}
	places_each(supervisor, say_slow, NULL);
	succeed(supervisor);
}

void
reload_abort(struct supervisor *supervisor)
{
	struct reload *reload = &supervisor->reload;
	event_del(reload->limit);
	reload->check = check_cancel(reload->check);
	reload->next = generation_drop(reload->next);
	reload->step = RELOAD_IDLE;
	verdict_stopping(supervisor->control);
}

void
reload_open(struct supervisor *supervisor)
{
	supervisor->reload.limit =
	    evtimer_new(supervisor->base, on_limit, supervisor);
	if (!supervisor->reload.limit)
		abort();
}

void
reload_close(struct supervisor *supervisor)
{
	struct reload *reload = &supervisor->reload;
	event_free(reload->limit);
	reload->check = check_cancel(reload->check);
	reload->next = generation_drop(reload->next);
	free(reload->refused);
}
