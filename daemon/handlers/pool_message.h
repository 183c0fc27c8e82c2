/*
 * What a process of a pool says: one JSON object a line. Reading takes a line
 * apart without copying it; what is wrong with one is said in words.
 */
#ifndef DAEMON_HANDLERS_POOL_MESSAGE_H
#define DAEMON_HANDLERS_POOL_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/handlers/pool_scan.h"

enum {
	POOL_PROTOCOL = 1,
	POOL_CONCURRENCY_MAX = 1000, /* of a process */
};

enum pool_message_type {
	POOL_HELLO,
	POOL_DONE,
	POOL_FAIL,
	POOL_PROGRESS,
	POOL_CHUNK,
};

struct pool_message {
	enum pool_message_type type;
	int64_t id;	       /* all but hello */
	struct pool_span data; /* done: the result; chunk: the piece; JSON */
	const char *unfit; /* why jsonb can't keep it; static; NULL: it can */
	struct pool_span text;	/* fail: error; progress: note; a JSON string */
	bool retry;		/* fail */
	int64_t after_ms;	/* fail; -1: not said */
	double fraction;	/* progress: 0 to 1 */
	struct pool_span kinds; /* hello: a JSON array; none: not said */
	int concurrency;	/* hello: 1 to POOL_CONCURRENCY_MAX */
};

/* Reads a line without its end. NULL, or what is wrong (a static text, such as
 * "is not JSON"). The message points into the line. */
const char *pool_message_read(
    const char *line, size_t size, struct pool_message *ret_message);

/* Whether a hello's kinds, if it named any, have this one. */
bool pool_message_has_kind(const struct pool_message *hello, const char *kind);

#endif
