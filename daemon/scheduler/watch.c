#include "daemon/scheduler/watch.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/busy.h"
#include "common/log.h"
#include "common/redis.h"
#include "common/text.h"
#include "daemon/event.h"
#include "daemon/scheduler/scheduler.h"
#include "daemon/scheduler/statements.h"

enum { LOOK_MS = 1000 };

/* Which worker an answer of Redis is about. */
struct key_question {
	struct scheduler *scheduler;
	int64_t worker;
};

static void
on_key(const char *const *items, size_t count, void *argument)
{
	struct key_question *question = argument;
	if (items != NULL && count == 1 && items[0] != NULL)
		signs_key(&question->scheduler->watch.signs, question->worker,
		    strtoll(items[0], NULL, 10), mono_now());
	free(question);
}

static void
ask_key(struct scheduler *scheduler, int64_t worker)
{
	struct key_question *question = calloc(1, sizeof *question);
	struct text key = TEXT_EMPTY;
	if (question == NULL)
		abort();
	*question = (struct key_question){scheduler, worker};
	text_addf(&key, "muster:%s:worker:%" PRId64, scheduler->config->cluster,
	    worker);
	const char *argv[] = {"PTTL", text_string(&key)};
	if (redis_ask(scheduler->watch.redis, 2, argv, NULL, on_key, question) <
	    0)
		free(question);
	text_free(&key);
}

static void
ask_keys(struct scheduler *scheduler)
{
	const struct signs *signs = &scheduler->watch.signs;
	if (scheduler->watch.redis == NULL ||
	    !redis_is_up(scheduler->watch.redis))
		return;
	for (size_t i = 0; i < signs->count; i++)
		ask_key(scheduler, signs->items[i].worker);
}

static void
rescue_silent(struct scheduler *scheduler, struct mono now)
{
	const struct sign *sign;
	size_t at = 0;
	while (
	    (sign = signs_silent(&scheduler->watch.signs, &at, now)) != NULL) {
		char cause[256];
		snprintf(cause, sizeof cause,
		    "%s gave no sign of life for %d s", sign->name,
		    SIGNS_LIMIT_MS / 1000);
		rescue_found(scheduler, sign->worker, sign->backend_pid, cause);
	}
}

/* Suspects. */

static bool
has_ended(const PGresult *result, int64_t worker)
{
	for (int row = 0; row < PQntuples(result); row++)
		if (strtoll(PQgetvalue(result, row, 0), NULL, 10) == worker)
			return true;
	return false;
}

/* Who is suspect still, after the time that the answer took. */
static void
rescue_ended(struct scheduler *scheduler, const PGresult *result)
{
	const struct sign *sign;
	struct mono now = mono_now();
	size_t at = 0;
	while (
	    (sign = signs_suspect(&scheduler->watch.signs, &at, now)) != NULL) {
		char cause[256];
		if (!has_ended(result, sign->worker))
			continue;
		snprintf(cause, sizeof cause,
		    "%s is gone: its session has ended and its key in redis "
		    "too",
		    sign->name);
		rescue_found(scheduler, sign->worker, 0, cause);
	}
}

static void
on_ended(PGresult *result, void *argument)
{
	struct scheduler *scheduler = argument;
	scheduler->watch.ended_asked = false;
	if (result == NULL || scheduler->session.state != SESSION_SERVING)
		return;
	if (PQresultStatus(result) == PGRES_TUPLES_OK)
		rescue_ended(scheduler, result);
	else
		log_warning("the sessions of workers were not looked at: %s",
		    pg_message(result));
}

static void
ask_ended(struct scheduler *scheduler, struct mono now)
{
	struct watch *watch = &scheduler->watch;
	const struct sign *sign;
	struct text workers = TEXT_EMPTY;
	char up_ms[16];
	size_t at = 0;
	while ((sign = signs_suspect(&watch->signs, &at, now)) != NULL) {
		text_add_char(&workers, workers.length == 0 ? '{' : ',');
		text_add_int(&workers, sign->worker);
	}
	if (workers.length > 0 && !watch->ended_asked) {
		text_add_char(&workers, '}');
		snprintf(up_ms, sizeof up_ms, "%d", SIGNS_LIMIT_MS);
		const char *values[] = {text_string(&workers), up_ms};
		watch->ended_asked =
		    session_send(scheduler, &scheduler_ended, values, on_ended);
	}
	text_free(&workers);
}

static int64_t
number(const PGresult *result, int row, int column)
{
	return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

static void
take_look(struct scheduler *scheduler, const PGresult *result)
{
	struct signs *signs = &scheduler->watch.signs;
	struct mono now = mono_now();
	signs_begin(signs, now);
	for (int row = 0; row < PQntuples(result); row++) {
		char name[128];
		snprintf(name, sizeof name, "pid %s on %s",
		    PQgetvalue(result, row, SIGNS_PID),
		    PQgetvalue(result, row, SIGNS_HOST));
		signs_saw(signs, number(result, row, SIGNS_WORKER),
		    number(result, row, SIGNS_BEATS),
		    (int)number(result, row, SIGNS_BACKEND_PID),
		    *PQgetvalue(result, row, SIGNS_LOCKED) == 't', name, now);
	}
	signs_end(signs, now);
	rescue_silent(scheduler, now);
	ask_ended(scheduler, now);
	ask_keys(scheduler);
}

static void
on_signs(PGresult *result, void *argument)
{
	struct scheduler *scheduler = argument;
	scheduler->watch.asked = false;
	if (result == NULL || scheduler->session.state != SESSION_SERVING)
		return;
	if (PQresultStatus(result) == PGRES_TUPLES_OK)
		take_look(scheduler, result);
	else
		log_warning(
		    "the signs of life were not read: %s", pg_message(result));
}

static void
on_timer(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct scheduler *scheduler = argument;
	struct busy busy = busy_enter("watch");
	struct timeval later = {.tv_sec = LOOK_MS / 1000};
	event_add(scheduler->watch.timer, &later);
	if (!scheduler->watch.asked)
		scheduler->watch.asked =
		    session_send(scheduler, &scheduler_signs, NULL, on_signs);
	busy_leave(busy);
}

static void
on_redis(bool up, const char *reason, void *argument)
{
	struct scheduler *scheduler = argument;
	if (up) {
		log_write(
		    LOG_LEVEL_INFO, LOG_REDIS_BACK, NULL, "connected to redis");
		publisher_go(scheduler->watch.publisher);
		return;
	}
	signs_keys_lost(&scheduler->watch.signs);
	log_write(LOG_LEVEL_WARNING, LOG_REDIS_LOST, NULL,
	    "no connection to redis, work goes on: %s", reason);
}

void
scheduler_watch_configure(struct scheduler *scheduler)
{
	struct watch *watch = &scheduler->watch;
	const char *url = scheduler->config->redis;
	struct redis_address address;
	struct error error = {0};
	watch->redis = redis_free(watch->redis);
	watch->publisher = publisher_free(watch->publisher);
	signs_keys_lost(&watch->signs);
	if (url == NULL)
		return;
	if (redis_address_parse(url, &address, &error) < 0) {
		log_warning("redis cannot be used, ignoring: %s", error.text);
		return;
	}
	watch->redis =
	    redis_new(scheduler->base, &address, on_redis, scheduler);
	watch->publisher = event_publisher(
	    scheduler->base, scheduler->board, scheduler->config->cluster);
	publisher_use(watch->publisher, watch->redis);
	redis_address_free(&address);
}

void
scheduler_watch_open(struct scheduler *scheduler)
{
	scheduler->watch.timer =
	    evtimer_new(scheduler->base, on_timer, scheduler);
	if (scheduler->watch.timer == NULL)
		abort();
	scheduler_watch_configure(scheduler);
}

void
scheduler_watch_close(struct scheduler *scheduler)
{
	struct watch *watch = &scheduler->watch;
	watch->redis = redis_free(watch->redis);
	watch->publisher = publisher_free(watch->publisher);
	event_free(watch->timer);
	signs_free(&watch->signs);
}

void
scheduler_watch_start(struct scheduler *scheduler)
{
	signs_restart(&scheduler->watch.signs, mono_now());
	event_active(scheduler->watch.timer, EV_TIMEOUT, 0);
}

void
scheduler_watch_stop(struct scheduler *scheduler)
{
	event_del(scheduler->watch.timer);
	scheduler->watch.asked = false;
	scheduler->watch.ended_asked = false;
}
