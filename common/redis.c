#include "common/redis.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/busy.h"
#include "common/redis_internal.h"

enum {
	BACKOFF_FIRST_MS = 50,
	BACKOFF_MAX_MS = 2000,
	STEADY_MS = 5000, /* a session this old ends the back-off */
	CONNECT_MS = 5000,
	LOOK_MS = 1000,
	IDLE_MS = 10000,  /* then a PING asks whether it is still there */
	ANSWER_MS = 5000, /* an answer must come by then */
	PENDING_MAX = 2000,
};
static const size_t pending_bytes_max = 4 * 1024 * 1024;

static void
set_timer(struct redis *redis, int64_t ms)
{
	struct timeval tv = {
	    .tv_sec = ms / 1000,
	    .tv_usec = ms % 1000 * 1000,
	};
	event_add(redis->timer, &tv);
}

static bool
step_is_legal(enum link_state from, enum link_state to)
{
	switch (to) {
	case LINK_WAITING:
		return from != LINK_FREED;
	case LINK_RESOLVING:
		return from == LINK_WAITING;
	case LINK_CONNECTING:
		return from == LINK_RESOLVING;
	case LINK_SETTING_UP:
		return from == LINK_CONNECTING;
	case LINK_UP:
		return from == LINK_SETTING_UP;
	case LINK_FREED:
		return true;
	}
	return false;
}

void
redis_set_state(struct redis *redis, enum link_state state)
{
	assert(step_is_legal(redis->state, state));
	redis->state = state;
	if (state == LINK_RESOLVING)
		set_timer(redis, CONNECT_MS);
	else if (state == LINK_UP)
		set_timer(redis, LOOK_MS);
}

void
redis_enter(struct redis *redis)
{
	assert(redis->magic == REDIS_MAGIC);
	redis->depth++;
}

void
redis_leave(struct redis *redis)
{
	assert(redis->depth > 0);
	if (--redis->depth > 0 || redis->state != LINK_FREED)
		return;
	redis_address_free(&redis->address);
	event_free(redis->timer);
	redis->magic = 0;
	free(redis);
}

static void
tell(struct redis *redis, bool up, const char *reason)
{
	if (redis->told == (up ? TOLD_UP : TOLD_DOWN))
		return;
	redis->told = up ? TOLD_UP : TOLD_DOWN;
	if (redis->on_state != NULL)
		redis->on_state(up, reason, redis->argument);
}

static int64_t
next_pause(struct redis *redis)
{
	if (redis->state == LINK_UP &&
	    mono_ms_between(redis->up_since, mono_now()) > STEADY_MS)
		backoff_reset(&redis->backoff);
	return backoff_next(&redis->backoff, backoff_random());
}

void
redis_failed(struct redis *redis, const char *reason)
{
	char copy[256];
	snprintf(copy, sizeof copy, "%s", reason);
	redis_enter(redis);
	int64_t pause_ms = next_pause(redis);
	redis_set_state(redis, LINK_WAITING);
	set_timer(redis, pause_ms);
	redis->resolve = resolve_cancel(redis->resolve);
	redis_session_drop(redis);
	if (redis->state != LINK_FREED)
		tell(redis, false, copy);
	redis_leave(redis);
}

void
redis_came_up(struct redis *redis)
{
	redis_set_state(redis, LINK_UP);
	redis->on_message = NULL;
	redis->up_since = mono_now();
	tell(redis, true, NULL);
}

static void
on_resolved(const char *const *addresses, size_t count, const char *reason,
    void *argument)
{
	struct redis *redis = argument;
	redis_enter(redis);
	redis->resolve = NULL;
	char text[160];
	snprintf(text, sizeof text, "host '%s' not found: %s",
	    redis->address.host, count > 0 ? "" : reason);
	if (count > 0)
		redis_session_start(
		    redis, addresses[redis->attempts++ % count]);
	else
		redis_failed(redis, text);
	redis_leave(redis);
}

static void
attempt(struct redis *redis)
{
	const char *host = redis->address.host;
	redis_set_state(redis, LINK_RESOLVING);
	if (!resolve_needed(host)) {
		redis_session_start(redis, host);
		return;
	}
	redis->resolve = resolve_start(redis->base, host, on_resolved, redis);
	if (redis->resolve == NULL)
		redis_failed(redis, "too many name lookups hang");
}

/* PING has no answer that hiredis would hand on; that to SUBSCRIBE, to a
 * channel on which nobody publishes, it does. */
static void
look_at_listener(struct redis *redis, int64_t quiet_ms)
{
	if (quiet_ms > IDLE_MS + ANSWER_MS) {
		redis_failed(redis, "no answer for 5 s");
		return;
	}
	set_timer(redis, LOOK_MS);
	if (quiet_ms <= IDLE_MS || redis->asked)
		return;
	redis->asked = true;
	if (redis_session_listen(redis, "SUBSCRIBE", "muster:quiet") < 0)
		redis_failed(redis, "takes no command");
}

/* Answers must come while some are owed, and a quiet session is asked. */
static void
look(struct redis *redis)
{
	int64_t quiet_ms = mono_ms_between(redis->last_answer, mono_now());
	if (redis->on_message != NULL) {
		look_at_listener(redis, quiet_ms);
		return;
	}
	if (redis->pending > 0 && quiet_ms > ANSWER_MS) {
		redis_failed(redis, "no answer for 5 s");
		return;
	}
	set_timer(redis, LOOK_MS);
	const char *ping = "PING";
	if (redis->pending == 0 && quiet_ms > IDLE_MS &&
	    redis_command(redis, 1, &ping, NULL) < 0)
		redis_failed(redis, "takes no command");
}

static void
on_timer(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct redis *redis = argument;
	struct busy busy = busy_enter("redis timer");
	redis_enter(redis);
	switch (redis->state) {
	case LINK_WAITING:
		attempt(redis);
		break;
	case LINK_RESOLVING:
	case LINK_CONNECTING:
	case LINK_SETTING_UP:
		redis_failed(redis, "no answer within 5 s of connecting");
		break;
	case LINK_UP:
		look(redis);
		break;
	case LINK_FREED:
		break;
	}
	redis_leave(redis);
	busy_leave(busy);
}

struct redis *
redis_new(struct event_base *base, const struct redis_address *address,
    redis_state_cb *on_state, void *argument)
{
	struct redis *redis = calloc(1, sizeof *redis);
	if (redis == NULL)
		abort();
	redis->magic = REDIS_MAGIC;
	redis->base = base;
	redis_address_copy(address, &redis->address);
	redis->on_state = on_state;
	redis->argument = argument;
	redis->backoff.first_ms = BACKOFF_FIRST_MS;
	redis->backoff.max_ms = BACKOFF_MAX_MS;
	LIST_INIT(&redis->requests);
	redis->timer = evtimer_new(base, on_timer, redis);
	if (redis->timer == NULL)
		abort();
	set_timer(redis, 0);
	return redis;
}

struct redis *
redis_free(struct redis *redis)
{
	if (redis == NULL || redis->state == LINK_FREED)
		return NULL;
	redis_enter(redis);
	redis_set_state(redis, LINK_FREED);
	event_del(redis->timer);
	redis->resolve = resolve_cancel(redis->resolve);
	redis_session_drop(redis);
	redis_leave(redis);
	return NULL;
}

bool
redis_is_up(const struct redis *redis)
{
	return redis->state == LINK_UP;
}

static size_t
size_of(int argc, const char *const *argv, const size_t *lengths)
{
	size_t size = 0;
	for (int i = 0; i < argc; i++)
		size += lengths != NULL ? lengths[i] : strlen(argv[i]);
	return size;
}

int
redis_ask(struct redis *redis, int argc, const char *const *argv,
    const size_t *lengths, redis_reply_cb *on_reply, void *argument)
{
	size_t bytes = size_of(argc, argv, lengths);
	int r = 0;
	if (redis->state != LINK_UP || redis->on_message != NULL)
		r = -ENOTCONN;
	else if (redis->pending >= PENDING_MAX ||
		 redis->pending_bytes + bytes > pending_bytes_max)
		r = -ENOBUFS;
	if (r == 0) {
		struct redis_request *request = calloc(1, sizeof *request);
		if (request == NULL)
			abort();
		request->bytes = bytes;
		request->on_reply = on_reply;
		request->argument = argument;
		r = redis_session_send(redis, argc, argv, lengths, request);
	}
	if (r < 0)
		redis->dropped++;
	return r;
}

int
redis_command(struct redis *redis, int argc, const char *const *argv,
    const size_t *lengths)
{
	return redis_ask(redis, argc, argv, lengths, NULL, NULL);
}

int
redis_listen(struct redis *redis, bool pattern, const char *name,
    redis_message_cb *on_message, void *argument)
{
	if (redis->state != LINK_UP)
		return -ENOTCONN;
	if (redis->on_message == NULL) {
		redis->last_answer = mono_now();
		redis->asked = false;
	}
	redis->on_message = on_message;
	redis->message_argument = argument;
	return redis_session_listen(
	    redis, pattern ? "PSUBSCRIBE" : "SUBSCRIBE", name);
}

void
redis_unlisten(struct redis *redis, bool pattern, const char *name)
{
	if (redis->state == LINK_UP)
		(void)redis_session_listen(
		    redis, pattern ? "PUNSUBSCRIBE" : "UNSUBSCRIBE", name);
}

const char *
redis_trouble(const struct redis *redis)
{
	return redis->trouble[0] != '\0' ? redis->trouble : NULL;
}

uint64_t
redis_dropped(const struct redis *redis)
{
	return redis->dropped;
}

size_t
redis_pending(const struct redis *redis)
{
	return redis->pending;
}
