/*
 * Publishes messages of a few types to Redis, each type on a channel of its
 * own. Nobody waits for it: what does not fit the bounded queue, or was under
 * way when Redis went away, is dropped and counted.
 *
 * Messages that nobody hears cost next to nothing. What PUBLISH answered last
 * says whether somebody subscribes to a type. While nobody does, only so many a
 * second are published as PUBLISHER_TRIES says, and the first that is heard
 * ends that: of a type that is told less often nothing is ever missed.
 */
#ifndef COMMON_PUBLISHER_H
#define COMMON_PUBLISHER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/clock.h"
#include "common/redis.h"
#include "common/scoreboard.h"
#include "common/text.h"

struct event_base;
struct publisher;

enum {
	PUBLISHER_TYPES = 16,		    /* at most */
	PUBLISHER_TRIES = 100,		    /* a second, of each type */
	PUBLISHER_MAX = 4 * 1024 * 1024,    /* bytes that wait */
	PUBLISHER_TRIES_BYTES = 128 * 1024, /* without Redis; then no tries */
	PUBLISHER_WINDOW = 256,		    /* messages under way */
};

/* `channels` are the whole names, copied; a type is an index into them. */
struct publisher *publisher_new(struct event_base *base,
    struct scoreboard *board, const char *const *channels, size_t count);
/* After the connection it used was freed. NULL ok; returns NULL. */
struct publisher *publisher_free(struct publisher *publisher);

/* Publishes over this connection, which is the caller's, until the next call;
 * NULL: none. */
void publisher_use(struct publisher *publisher, struct redis *redis);
/* The connection came up. */
void publisher_go(struct publisher *publisher);

/* Whether a message of this type is to be made and sent. NULL: no. */
bool publisher_wants(struct publisher *publisher, size_t type, struct mono now);
/* Whether it would be so, if there were any. */
bool publisher_may_want(
    struct publisher *publisher, size_t type, struct mono now);
/* Takes the text over and empties it. */
void publisher_send(
    struct publisher *publisher, size_t type, struct text *message);

/* Lets the loop turn until all is sent, at most so long, and only while Redis
 * is there. NULL ok. */
void publisher_flush(struct publisher *publisher, int64_t limit_ms);

#endif
