/*
 * Does nothing for as long as the payload says: {"sleep": seconds}. Stands in
 * for real work where only its length counts: replays, trials of limits.
 */
#include <event2/event.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/json_member.h"
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
	struct event *timer;
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

/* To the first of those that sleep, counted from now and not from when the loop
 * woke. */
static void
arm(struct handler *handler)
{
	struct sleeper *sleeper;
	int64_t first_us = INT64_MAX, left_us;
	struct timeval left;

	LIST_FOREACH(sleeper, &handler->sleepers, link)
	if (sleeper->until_us < first_us)
		first_us = sleeper->until_us;
	if (first_us == INT64_MAX)
		return;
	event_base_update_cache_time(handler->host->base);
	left_us = first_us - mono_now().us;
	if (left_us < 0)
		left_us = 0;
	left.tv_sec = left_us / 1000000;
	left.tv_usec = left_us % 1000000;
	event_add(handler->timer, &left);
}

static void
on_time(evutil_socket_t fd, short what, void *argument)
{
	struct handler *handler = argument;
	struct sleeper *sleeper, *next;
	int64_t now_us = mono_now().us;

	(void)fd, (void)what;
	for (sleeper = LIST_FIRST(&handler->sleepers); sleeper != NULL;
	     sleeper = next) {
		next = LIST_NEXT(sleeper, link);
		if (sleeper->until_us <= now_us)
			report(handler, sleeper, OUTCOME_SUCCEEDED);
	}
	arm(handler);
}

static struct handler *
sleep_open(const struct handler_host *host, const struct handler_config *config)
{
	struct handler *handler = calloc(1, sizeof(*handler));

	(void)config;
	if (handler == NULL)
		abort();
	handler->host = host;
	handler->timer = evtimer_new(host->base, on_time, handler);
	if (handler->timer == NULL)
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
	arm(handler);
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
	event_free(handler->timer);
	free(handler);
}

const struct handler_ops handler_sleep = {.name = "sleep",
    .ignores_inputs = true,
    .open = sleep_open,
    .start = sleep_start,
    .cancel = sleep_cancel,
    .close = sleep_close};
