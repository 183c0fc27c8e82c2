/*
 * A line by which a handler's program says more than words: one JSON object
 *
 *	{"log":{"level":4,"message":"…","id":"42","logger":"app","size":7}}
 *
 * with syslog's level or its name (info without one), the task it is about,
 * and fields of its own, which go into the log with it.
 */
#ifndef DAEMON_HANDLERS_OUTPUT_SAID_H
#define DAEMON_HANDLERS_OUTPUT_SAID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/log.h"
#include "common/text.h"

struct output_said {
	enum log_level level; /* error at most: what is worse is ours to say */
	struct text message;
	int64_t task; /* 0: not said */
	struct log_field fields[LOG_FIELDS];
	struct text values[LOG_FIELDS]; /* of the fields that are strings */
	size_t count;
};

/* False: it is a plain line. The fields point into it. */
bool output_said_read(
    const char *line, size_t length, struct output_said *ret_said);
void output_said_free(struct output_said *said);

#endif
