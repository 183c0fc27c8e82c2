/*
 * What happens, told to whoever subscribes (musterd(8), EVENTS): channel
 * muster:{cluster}:events:<type>, one JSON object a message,
 *
 *   {"v":1,"type":"task.finished","at":1732.123,"task":"42",…}
 */
#ifndef DAEMON_EVENT_H
#define DAEMON_EVENT_H

#include <stddef.h>
#include <stdint.h>

#include "common/publisher.h"
#include "common/text.h"

enum event_type {
	EVENT_TASK_STARTED,
	EVENT_TASK_PROGRESSED,
	EVENT_TASK_FINISHED,
	EVENT_TASK_FAILED,
	EVENT_TASK_RETRIED,
	EVENT_TASK_CANCELLED,
	EVENT_TASK_RELEASED,
	EVENT_FLOW_FINISHED,
	EVENT_WORKER_UP,
	EVENT_WORKER_DOWN,
	EVENT_TYPES
};

enum { EVENT_ERROR_BYTES = 4096 }; /* of an error; a longer one is cut */

/* The caller frees it with publisher_free. */
struct publisher *event_publisher(
    struct event_base *base, struct scoreboard *board, const char *cluster);

/* Begins an event that happened at `us` since 1970; the members follow. */
void event_begin(struct text *event, enum event_type type, int64_t us);
/* Ids are strings; 0 adds nothing. */
void event_add_id(struct text *event, const char *name, int64_t id);
void event_add_number(struct text *event, const char *name, int64_t number);
/* Foreign bytes; NULL adds nothing. */
void event_add_text(struct text *event, const char *name, const char *bytes,
    size_t size, size_t limit);
/* Of at most EVENT_ERROR_BYTES; NULL adds nothing. */
void event_add_string(struct text *event, const char *name, const char *string);
/* Ends it, sends it and empties it. */
void event_send(
    struct publisher *publisher, enum event_type type, struct text *event);

#endif
