/* The inside of a connection to Redis, shared by common/redis*.c alone. */
#ifndef COMMON_REDIS_INTERNAL_H
#define COMMON_REDIS_INTERNAL_H

#include <sys/queue.h>

#include "common/backoff.h"
#include "common/clock.h"
#include "common/redis.h"
#include "common/resolve.h"

struct redisAsyncContext;

/*
 *   WAITING ─timer→ RESOLVING → CONNECTING → SETTING_UP → UP
 *      ↑________________ any failure, with back-off _______│
 *
 * Any state → FREED. The timer belongs to the state; in UP it looks every
 * second whether answers come.
 */
enum link_state {
	LINK_WAITING,	/* timer: the next attempt */
	LINK_RESOLVING, /* timer: attempt limit, as in the next two */
	LINK_CONNECTING,
	LINK_SETTING_UP, /* AUTH, SELECT and PING are under way */
	LINK_UP,
	LINK_FREED,
};

enum { REDIS_MAGIC = 0x72656469 };

/* A command whose answer is waited for. hiredis holds it until it called
 * back, which may be after the connection was given up or freed. */
struct redis_request {
	LIST_ENTRY(redis_request) link;
	struct redis *redis; /* NULL: nobody waits any more */
	size_t bytes;
	bool setup;		  /* of SETTING_UP */
	redis_reply_cb *on_reply; /* NULL: nobody asks */
	void *argument;
};

struct redis {
	unsigned magic;
	enum link_state state;
	int depth; /* callbacks of ours on the stack; freed at 0 */
	struct event_base *base;
	struct redis_address address;
	redis_state_cb *on_state;
	void *argument;
	enum { TOLD_NOTHING, TOLD_DOWN, TOLD_UP } told;

	struct event *timer;
	struct backoff backoff;
	struct mono up_since;
	struct resolve *resolve;
	size_t attempts; /* of a name with several addresses: each in turn */
	struct redisAsyncContext *context; /* NULL: hiredis has none of ours */

	LIST_HEAD(, redis_request) requests;
	size_t pending, pending_bytes;
	struct mono last_answer; /* or when the first pending one was sent */
	uint64_t dropped;
	redis_message_cb *on_message; /* NULL: it does not listen */
	void *message_argument;
	bool asked; /* listening: whether Redis is there */
	char trouble[256];
};

/* redis.c */
void redis_set_state(struct redis *redis, enum link_state state);
void redis_enter(struct redis *redis);
void redis_leave(struct redis *redis);
/* The session or the attempt is over. */
void redis_failed(struct redis *redis, const char *reason);
/* SETTING_UP was answered. */
void redis_came_up(struct redis *redis);

/* redis_session.c: all that knows hiredis */
void redis_session_start(struct redis *redis, const char *address);
void redis_session_drop(struct redis *redis); /* also answers everyone */
int redis_session_send(struct redis *redis, int argc, const char *const *argv,
    const size_t *lengths, struct redis_request *request);

/* SUBSCRIBE and its like; their answers and all messages go to `on_message`. */
int redis_session_listen(
    struct redis *redis, const char *word, const char *name);

#endif
