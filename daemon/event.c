#include "daemon/event.h"

#include <inttypes.h>
#include <string.h>

static const char *const names[EVENT_TYPES] = {
    [EVENT_TASK_STARTED] = "task.started",
    [EVENT_TASK_PROGRESSED] = "task.progressed",
    [EVENT_TASK_FINISHED] = "task.finished",
    [EVENT_TASK_FAILED] = "task.failed",
    [EVENT_TASK_RETRIED] = "task.retried",
    [EVENT_TASK_CANCELLED] = "task.cancelled",
    [EVENT_TASK_RELEASED] = "task.released",
    [EVENT_FLOW_FINISHED] = "flow.finished",
    [EVENT_WORKER_UP] = "worker.up",
    [EVENT_WORKER_DOWN] = "worker.down",
};

struct publisher *
event_publisher(
    struct event_base *base, struct scoreboard *board, const char *cluster)
{
	struct text channels[EVENT_TYPES] = {0};
	const char *strings[EVENT_TYPES];
	struct publisher *publisher;

	for (int i = 0; i < EVENT_TYPES; i++) {
		text_addf(
		    &channels[i], "muster:%s:events:%s", cluster, names[i]);
		strings[i] = text_string(&channels[i]);
	}
	publisher = publisher_new(base, board, strings, EVENT_TYPES);
	for (int i = 0; i < EVENT_TYPES; i++)
		text_free(&channels[i]);
	return publisher;
}

void
event_begin(struct text *event, enum event_type type, int64_t us)
{
	text_addf(event, "{\"v\":1,\"type\":\"%s\",\"at\":%" PRId64 ".%03d",
	    names[type], us / 1000000, (int)(us % 1000000 / 1000));
}

void
event_add_id(struct text *event, const char *name, int64_t id)
{
	if (id != 0)
		text_addf(event, ",\"%s\":\"%" PRId64 "\"", name, id);
}

void
event_add_number(struct text *event, const char *name, int64_t number)
{
	text_addf(event, ",\"%s\":%" PRId64, name, number);
}

void
event_add_text(struct text *event, const char *name, const char *bytes,
    size_t size, size_t limit)
{
	struct text clean = TEXT_EMPTY;

	if (bytes == NULL)
		return;
	text_add_utf8(&clean, bytes, size, limit);
	text_addf(event, ",\"%s\":", name);
	text_add_json_string(event, text_string(&clean), clean.length);
	text_free(&clean);
}

void
event_add_string(struct text *event, const char *name, const char *string)
{
	event_add_text(event, name, string, string != NULL ? strlen(string) : 0,
	    EVENT_ERROR_BYTES);
}

void
event_send(
    struct publisher *publisher, enum event_type type, struct text *event)
{
	text_add_char(event, '}');
	publisher_send(publisher, type, event);
}
