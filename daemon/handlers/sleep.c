/*
 * Does nothing for as long as the payload says: {"sleep": seconds}. Stands in
 * for real work where only its length counts: replays, trials of limits.
 *
 * One timerfd for all: by a timer of the loop tasks of a millisecond end a
 * little later, which over thousands of them is what is to be measured.
 */
#include <errno.h>
#include <event2/event.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/json_member.h"
#include "common/log.h"
#include "daemon/handlers/handler.h"

static const double LONGEST_S = 1e7;

struct sleeper {
	struct task *task;
	int64_t until_us;
	LIST_ENTRY(sleeper) link;
};

struct handler {
	const struct handler_host *host;
	LIST_HEAD(, sleeper) sleepers;
	int timer;
	struct event *event;
	struct event *arm; /* when all have started that start now: to set a
			      timer takes up to 20 us on a virtual machine */
};

static void
report(struct handler *handler, struct sleeper *sleeper, enum outcome_kind kind)
{
	struct outcome outcome = {.kind = kind, .after_ms = -1};
	struct task *task = sleeper->task;

	LIST_REMOVE(sleeper, link);
	free(sleeper);
	handler->host->on_done(task, &outcome, handler->host->argument);
}

/* To the first of those that sleep; without any, off. */
static void
on_arm(evutil_socket_t fd, short what, void *argument)
{
	struct handler *handler = argument;
	struct itimerspec at = {0};
	struct sleeper *sleeper;
	int64_t first_us = INT64_MAX;

	(void)fd, (void)what;
	LIST_FOREACH(sleeper, &handler->sleepers, link)
	if (sleeper->until_us < first_us)
		first_us = sleeper->until_us;
	if (first_us != INT64_MAX) {
		at.it_value.tv_sec = first_us / 1000000;
		at.it_value.tv_nsec = first_us % 1000000 * 1000;
	}
	if (timerfd_settime(handler->timer, TFD_TIMER_ABSTIME, &at, NULL) < 0)
		abort();
}

static void
on_time(evutil_socket_t fd, short what, void *argument)
{
	struct handler *handler = argument;
	struct sleeper *sleeper, *next;
	int64_t now_us = mono_now().us;
	uint64_t times;

	(void)what;
	if (read(fd, &times, sizeof(times)) < 0 && errno != EAGAIN)
		abort();
	for (sleeper = LIST_FIRST(&handler->sleepers); sleeper != NULL;
	     sleeper = next) {
		next = LIST_NEXT(sleeper, link);
		if (sleeper->until_us <= now_us)
			report(handler, sleeper, OUTCOME_SUCCEEDED);
	}
	event_active(handler->arm, 0, 0);
}

static struct handler *
sleep_open(const struct handler_host *host, const struct handler_config *config)
{
	struct handler *handler = calloc(1, sizeof(*handler));

	(void)config;
	if (handler == NULL)
		abort();
	handler->host = host;
	handler->timer =
	    timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (handler->timer < 0) {
		log_error("no timer for tasks that sleep: %s", strerror(errno));
		abort();
	}
	handler->event = event_new(
	    host->base, handler->timer, EV_READ | EV_PERSIST, on_time, handler);
	handler->arm = event_new(host->base, -1, 0, on_arm, handler);
	if (handler->event == NULL || handler->arm == NULL ||
	    event_add(handler->event, NULL) < 0)
		abort();
	return handler;
}

static bool
read_length(const struct task *task, double *ret_seconds)
{
	struct json_value object, value;

	return json_value_of(task->payload, task->payload_size, &object) &&
	       json_member(object, "sleep", &value) &&
	       json_value_double(value, ret_seconds) && *ret_seconds >= 0 &&
	       *ret_seconds <= LONGEST_S;
}

static void
sleep_start(struct handler *handler, struct task *task)
{
	static const char wrong[] =
	    "the payload must say how long: {\"sleep\": seconds}";
	static const struct outcome failed = {.kind = OUTCOME_FAILED_HARD,
	    .error = wrong,
	    .error_size = sizeof(wrong) - 1,
	    .after_ms = -1};
	struct sleeper *sleeper;
	double seconds;

	if (!read_length(task, &seconds)) {
		handler->host->on_done(task, &failed, handler->host->argument);
		return;
	}
	sleeper = calloc(1, sizeof(*sleeper));
	if (sleeper == NULL)
		abort();
	sleeper->task = task;
	sleeper->until_us = task->started.us + llround(seconds * 1e6);
	LIST_INSERT_HEAD(&handler->sleepers, sleeper, link);
	event_active(handler->arm, 0, 0);
}

static void
sleep_cancel(struct handler *handler, struct task *task,
    enum cancel_reason reason, int64_t grace_ms)
{
	struct sleeper *sleeper;

	(void)reason, (void)grace_ms;
	LIST_FOREACH(sleeper, &handler->sleepers, link)
	if (sleeper->task == task) {
		report(handler, sleeper, OUTCOME_CANCELLED);
		return;
	}
}

static void
sleep_close(struct handler *handler)
{
	event_free(handler->event);
	event_free(handler->arm);
	close(handler->timer);
	free(handler);
}

const struct handler_ops handler_sleep = {.name = "sleep",
    .ignores_inputs = true,
    .open = sleep_open,
    .start = sleep_start,
    .cancel = sleep_cancel,
    .close = sleep_close};
