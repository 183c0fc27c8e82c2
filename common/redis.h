/*
 * One event-driven connection to Redis for commands whose loss is tolerable:
 * heartbeats and events. Reconnects with jittered back-off; while Redis is
 * away, or slower than what is sent, commands are dropped and counted.
 */
#ifndef COMMON_REDIS_H
#define COMMON_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct event_base;
struct redis;

/*
 * An address as configured: unix:///path?db=1 or redis://host:port/1, a name
 * and a password before the host as in user:password@, with %xx for characters
 * that have a meaning.
 */
struct redis_address {
	char *path; /* owned; Unix socket, or NULL */
	char *host; /* owned; a name or an address; NULL with a path */
	int port, database;
	char *user;	/* owned; NULL: none */
	char *password; /* owned; NULL: none */
};
/* 0, or -EINVAL with `error` filled, which quotes nothing of a password. */
int redis_address_parse(const char *url, struct redis_address *ret_address,
    struct error *error) __attribute__((warn_unused_result));
void redis_address_free(struct redis_address *address);
/* Strings are copied; the caller frees. */
void redis_address_copy(
    const struct redis_address *address, struct redis_address *ret_copy);

typedef void redis_state_cb(bool up, const char *reason, void *argument);

/* Starts connecting; copies the address. `on_state` hears of each change,
 * once; `reason` says why it is down. It may free the connection. */
struct redis *redis_new(struct event_base *base,
    const struct redis_address *address, redis_state_cb *on_state,
    void *argument);
struct redis *redis_free(struct redis *redis); /* NULL ok; returns NULL */

bool redis_is_up(const struct redis *redis);

/*
 * Fire and forget. Returns 0; -ENOTCONN (away) or -ENOBUFS (limit of pending
 * commands or bytes reached): dropped and counted.
 */
int redis_command(struct redis *redis, int argc, const char *const *argv,
    const size_t *lengths) __attribute__((warn_unused_result));

/*
 * As redis_command, with an answer: a single reply, or the items of an array,
 * as text (NULL: nil). NULL instead of items: refused by Redis, or lost.
 */
typedef void redis_reply_cb(
    const char *const *items, size_t count, void *argument);
int redis_ask(struct redis *redis, int argc, const char *const *argv,
    const size_t *lengths, redis_reply_cb *on_reply, void *argument)
    __attribute__((warn_unused_result));

/*
 * Listens to a channel, or with `pattern` to all that it fits. A connection
 * that listens takes no commands any more; when it was lost, and is up again,
 * it listens to nothing. The bytes of a message are valid during the call;
 * `name` is the channel or pattern as it was asked for. 0 or -ENOTCONN.
 */
typedef void redis_message_cb(bool pattern, const char *name,
    const char *message, size_t size, void *argument);
int redis_listen(struct redis *redis, bool pattern, const char *name,
    redis_message_cb *on_message, void *argument)
    __attribute__((warn_unused_result));
/* No more of it. */
void redis_unlisten(struct redis *redis, bool pattern, const char *name);

/* What Redis answered to the last command when that was an error ("OOM
 * command not allowed …"); NULL when it was not. */
const char *redis_trouble(const struct redis *redis);

uint64_t redis_dropped(const struct redis *redis);
/* Commands that wait for their answer. */
size_t redis_pending(const struct redis *redis);

#endif
