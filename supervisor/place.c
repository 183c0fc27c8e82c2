#include "supervisor/place.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "supervisor/child.h"
#include "supervisor/generation.h"
#include "supervisor/supervisor.h"
#include "supervisor/words.h"

enum {
	YOUNG_MS = 10000, /* who dies earlier died young */
	BACKOFF_FIRST_MS = 200,
	BACKOFF_MAX_MS = 30000,
	YOUNG_SAID = 5, /* deaths in a row after which it is said */
};

/* Starting. */

static void
restart_later(struct place *place, int64_t ms)
{
	struct timeval pause = {
	    .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	event_add(place->restart, &pause);
}

static void
serve(struct place *place)
{
	struct supervisor *supervisor = place->supervisor;
	event_del(place->restart);
	if (place->serving || supervisor->state == SUPERVISOR_DRAINING)
		return;
	place->serving = child_start(place, supervisor->current);
	if (!place->serving)
		restart_later(
		    place, backoff_next(&place->backoff, backoff_random()));
}

static void
on_restart(evutil_socket_t fd, short what, void *argument)
{
	struct place *place = argument;
	(void)fd;
	(void)what;
	if (place->wanted && !place->coming)
		serve(place);
}

void
place_init(struct place *place, struct supervisor *supervisor, enum role role,
    int slot)
{
	*place = (struct place){
	    .supervisor = supervisor,
	    .role = role,
	    .slot = slot,
	    .backoff = {.first_ms = BACKOFF_FIRST_MS, .max_ms = BACKOFF_MAX_MS},
	};
	place->restart = evtimer_new(supervisor->base, on_restart, place);
	if (!place->restart)
		abort();
}

void
place_close(struct place *place)
{
	if (place->restart)
		event_free(place->restart);
	place->restart = NULL;
}

void
place_want(struct place *place)
{
	place->wanted = true;
	if (!place->serving && !event_pending(place->restart, EV_TIMEOUT, NULL))
		serve(place);
}

/* Leaving. */

static void
leave(struct place *place)
{
	struct child *child = place->serving;
	place->serving = NULL;
	if (!child)
		return;
	place->leaving = child;
	child_drain(child, PROCMSG_NO_LIMIT_MS, PROCMSG_NO_LIMIT_MS);
}

void
place_unwant(struct place *place)
{
	place->wanted = false;
	event_del(place->restart);
	leave(place);
}

bool
place_prepare(struct place *place, struct generation *generation)
{
	place->coming = child_start(place, generation);
	return place->coming != NULL;
}

void
place_switch(struct place *place)
{
	event_del(place->restart);
	leave(place);
	place->wanted = true;
	place->serving = place->coming;
	place->coming = NULL;
}

/* It leaves at once, so it takes the leaver's place: there is none then. */
void
place_give_up(struct place *place)
{
	struct child *child = place->coming;
	place->coming = NULL;
	if (child) {
		place->leaving = child;
		child_drain(child, 0, 1000);
	}
	if (place->wanted)
		place_want(place);
}

/* The end of a child. */

/* The last line: what it was, how it ended, how long it lived. */
static void
last_line(struct place *place, const struct child *child, const siginfo_t *info)
{
	char end[WORDS_SIZE], age[WORDS_SIZE], tasks[48] = "";
	words_of_end(info, end);
	words_of_time(mono_ms_between(child->started, mono_now()), age);
	int running = child_tasks(child);
	if (running > 0)
		snprintf(tasks, sizeof tasks, " and with %d task%s running",
		    running, running == 1 ? "" : "s");
	snprintf(place->last, sizeof place->last, "%s (pid %d) %s after %s%s",
	    child->name, (int)child->pid, end, age, tasks);
}

static void
say_left(const struct place *place)
{
	log_info("%s, as it was asked to end", place->last);
}

static void
say_died(const struct place *place, int64_t pause_ms)
{
	char pause[WORDS_SIZE];
	words_of_time(pause_ms, pause);
	log_write(LOG_LEVEL_WARNING, LOG_CHILD_DIED, NULL, "%s; %s%s",
	    place->last,
	    pause_ms ? "another one starts in " : "starting another one",
	    pause_ms ? pause : "");
	if (place->young >= YOUNG_SAID && place->young % YOUNG_SAID == 0)
		log_error("%s has ended %d times in a row soon after its "
			  "start%s; it is tried again, at least every 30 s",
		    place->role == ROLE_WORKER ? "a worker" : "the scheduler",
		    place->young, place->worked ? "" : " and was never ready");
}

/* Who worked for a while, or worked and died young for the first time, is
 * replaced at once; who keeps dying young, after a pause. */
static int64_t
pause_after(struct place *place, const struct child *child)
{
	int64_t age_ms = mono_ms_between(child->started, mono_now());
	if (child->worked && age_ms >= YOUNG_MS) {
		place->young = 0;
		backoff_reset(&place->backoff);
		return 0;
	}
	if (place->young++ == 0 && child->worked)
		return 0;
	return backoff_next(&place->backoff, backoff_random());
}

static void
serving_died(struct place *place, const struct child *child)
{
	if (place->supervisor->state == SUPERVISOR_DRAINING) {
		log_write(LOG_LEVEL_WARNING, LOG_CHILD_DIED, NULL,
		    "%s, while all ends", place->last);
		return;
	}
	int64_t pause_ms = pause_after(place, child);
	place->restarts++;
	say_died(place, pause_ms);
	restart_later(place, pause_ms);
}

/* A configuration or schema that a first start can't work with. */
static bool
is_fatal(const struct place *place, const siginfo_t *info)
{
	return place->supervisor->state == SUPERVISOR_STARTING &&
	       !place->worked && info->si_code == CLD_EXITED &&
	       info->si_status == 78;
}

static void
cannot_start(const struct place *place)
{
	log_write(LOG_LEVEL_ERROR, LOG_CHILD_DIED, NULL,
	    "%s; nothing can be done without a change, ending", place->last);
	supervisor_fail(place->supervisor, 78);
}

void
place_child_gone(
    struct place *place, struct child *child, const siginfo_t *info)
{
	struct supervisor *supervisor = place->supervisor;
	last_line(place, child, info);
	if (child == place->leaving) {
		place->leaving = NULL;
		say_left(place);
	} else if (child == place->coming) {
		place->coming = NULL;
		reload_failed(supervisor, place->last);
	} else {
		place->serving = NULL;
		/* One that drained unasked wants to be replaced. */
		if (child->drained && child->asked)
			say_left(place);
		else if (is_fatal(place, info))
			cannot_start(place);
		else
			serving_died(place, child);
	}
}

bool
place_is_ready(const struct place *place)
{
	return place->serving && place->serving->state == CHILD_RUNNING;
}

bool
place_is_empty(const struct place *place)
{
	return !place->serving && !place->coming && !place->leaving;
}

static void
place_each(struct place *place,
    void (*see)(struct child *child, void *argument), void *argument)
{
	struct child *children[] = {
	    place->leaving, place->serving, place->coming};
	for (size_t i = 0; i < 3; i++)
		if (children[i])
			see(children[i], argument);
}

void
places_each(struct supervisor *supervisor,
    void (*see)(struct child *child, void *argument), void *argument)
{
	for (int slot = 0; slot < supervisor->worker_places; slot++)
		place_each(supervisor->workers[slot], see, argument);
	place_each(&supervisor->scheduler, see, argument);
}

struct place *
places_worker(struct supervisor *supervisor, int slot)
{
	while (supervisor->worker_places <= slot) {
		int count = supervisor->worker_places;
		struct place *place = malloc(sizeof *place);
		struct place **places = reallocarray(
		    supervisor->workers, (size_t)count + 1, sizeof *places);
		if (!place || !places)
			abort();
		place_init(place, supervisor, ROLE_WORKER, count);
		supervisor->workers = places;
		supervisor->workers[count] = place;
		supervisor->worker_places++;
	}
	return supervisor->workers[slot];
}
