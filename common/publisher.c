#include "common/publisher.h"

#include <assert.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/log.h"

enum {
	MESSAGE_COST = 128, /* bytes beside its text */
	COMPLAIN_MS = 60 * 1000,
};

/* Waits for its turn. */
struct message {
	TAILQ_ENTRY(message) link;
	struct type *type;
	struct text text;
};

struct type {
	struct publisher *publisher;
	char *channel; /* owned */
	bool heard;    /* by somebody, as PUBLISH said last */
	int tries;     /* left, while it is not */
	struct mono tries_at;
};

struct publisher {
	struct event_base *base;
	struct scoreboard *board;
	struct redis *redis; /* not owned; NULL: none */
	struct type types[PUBLISHER_TYPES];
	size_t count;
	TAILQ_HEAD(, message) queue;
	size_t bytes;
	size_t under_way;
	uint64_t dropped;
	bool complained_once;
	struct mono complained;
};

/* Counted, and told once a minute. */
static void
drop(struct publisher *publisher)
{
	struct mono now = mono_now();

	publisher->dropped++;
	scoreboard_count(publisher->board, SCOREBOARD_EVENTS_DROPPED, 1);
	if (publisher->complained_once &&
	    mono_ms_between(publisher->complained, now) < COMPLAIN_MS)
		return;
	publisher->complained_once = true;
	publisher->complained = now;
	log_notice("events are dropped, %" PRIu64 " so far: redis is away or "
		   "slower than they are",
	    publisher->dropped);
}

static void
on_published(const char *const *items, size_t count, void *argument)
{
	struct type *type = argument;
	struct publisher *publisher = type->publisher;

	publisher->under_way--;
	if (items != NULL && count == 1 && items[0] != NULL) {
		type->heard = strcmp(items[0], "0") != 0;
		if (type->heard)
			scoreboard_count(
			    publisher->board, SCOREBOARD_EVENTS_PUBLISHED, 1);
	} else if (type->heard) {
		drop(publisher);
	}
	publisher_go(publisher);
}

static void
forget(struct publisher *publisher, struct message *message)
{
	TAILQ_REMOVE(&publisher->queue, message, link);
	publisher->bytes -= message->text.length + MESSAGE_COST;
	text_free(&message->text);
	free(message);
}

/* False: Redis takes no more for now. */
static bool
send_one(struct publisher *publisher, struct message *message)
{
	struct type *type = message->type;
	const char *words[] = {
	    "PUBLISH", type->channel, text_string(&message->text)};
	const size_t lengths[] = {
	    strlen(words[0]), strlen(words[1]), message->text.length};

	if (redis_ask(publisher->redis, 3, words, lengths, on_published, type) <
	    0)
		return false;
	publisher->under_way++;
	forget(publisher, message);
	return true;
}

static bool
is_up(const struct publisher *publisher)
{
	return publisher->redis != NULL && redis_is_up(publisher->redis);
}

void
publisher_go(struct publisher *publisher)
{
	struct message *message;

	if (!is_up(publisher))
		return;
	while (publisher->under_way < PUBLISHER_WINDOW &&
	       (message = TAILQ_FIRST(&publisher->queue)) != NULL)
		if (!send_one(publisher, message))
			return;
}

static bool
may_try(const struct publisher *publisher, struct type *type, struct mono now)
{
	int64_t us = mono_us_between(type->tries_at, now);

	if (us >= 1000000 / PUBLISHER_TRIES) {
		int64_t more = us * PUBLISHER_TRIES / 1000000 + type->tries;

		type->tries =
		    more < PUBLISHER_TRIES ? (int)more : PUBLISHER_TRIES;
		type->tries_at = now;
	}
	return type->tries > 0 &&
	       (publisher->bytes <= PUBLISHER_TRIES_BYTES || is_up(publisher));
}

bool
publisher_may_want(struct publisher *publisher, size_t which, struct mono now)
{
	struct type *type;

	if (publisher == NULL)
		return false;
	type = &publisher->types[which];
	return type->heard || may_try(publisher, type, now);
}

bool
publisher_wants(struct publisher *publisher, size_t which, struct mono now)
{
	if (!publisher_may_want(publisher, which, now))
		return false;
	if (!publisher->types[which].heard)
		publisher->types[which].tries--;
	return true;
}

void
publisher_send(struct publisher *publisher, size_t which, struct text *text)
{
	struct type *type = &publisher->types[which];
	size_t bytes = text->length + MESSAGE_COST;
	struct message *message;

	assert(which < publisher->count);
	if (publisher->bytes + bytes > PUBLISHER_MAX) {
		drop(publisher);
		text_free(text);
		return;
	}
	message = calloc(1, sizeof(*message));
	if (message == NULL)
		abort();
	message->type = type;
	message->text = *text;
	*text = TEXT_EMPTY;
	TAILQ_INSERT_TAIL(&publisher->queue, message, link);
	publisher->bytes += bytes;
	publisher_go(publisher);
}

void
publisher_use(struct publisher *publisher, struct redis *redis)
{
	publisher->redis = redis;
	publisher_go(publisher);
}

static void
on_flush_limit(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	*(bool *)argument = true;
}

void
publisher_flush(struct publisher *publisher, int64_t limit_ms)
{
	bool over = false;
	struct event *limit;

	if (publisher == NULL || publisher->redis == NULL)
		return;
	limit = evtimer_new(publisher->base, on_flush_limit, &over);
	if (limit == NULL)
		abort();
	event_add(limit, &(struct timeval){.tv_sec = limit_ms / 1000,
			     .tv_usec = limit_ms % 1000 * 1000});
	while (!over && redis_is_up(publisher->redis) &&
	       (!TAILQ_EMPTY(&publisher->queue) || publisher->under_way > 0))
		event_base_loop(publisher->base, EVLOOP_ONCE);
	event_free(limit);
}

struct publisher *
publisher_new(struct event_base *base, struct scoreboard *board,
    const char *const *channels, size_t count)
{
	struct publisher *publisher = calloc(1, sizeof(*publisher));

	assert(count <= PUBLISHER_TYPES);
	if (publisher == NULL)
		abort();
	publisher->base = base;
	publisher->board = board;
	publisher->count = count;
	TAILQ_INIT(&publisher->queue);
	for (size_t i = 0; i < count; i++) {
		struct type *type = &publisher->types[i];

		type->publisher = publisher;
		type->channel = strdup(channels[i]);
		type->tries = PUBLISHER_TRIES;
		type->tries_at = mono_now();
		if (type->channel == NULL)
			abort();
	}
	return publisher;
}

/* What still waits and would have been heard is counted. */
struct publisher *
publisher_free(struct publisher *publisher)
{
	struct message *message;

	if (publisher == NULL)
		return NULL;
	while ((message = TAILQ_FIRST(&publisher->queue)) != NULL) {
		if (message->type->heard)
			drop(publisher);
		forget(publisher, message);
	}
	for (size_t i = 0; i < publisher->count; i++)
		free(publisher->types[i].channel);
	free(publisher);
	return NULL;
}
