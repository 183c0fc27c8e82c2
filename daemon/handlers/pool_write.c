#include "daemon/handlers/pool_write.h"

#include <event2/buffer.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_BYTES = 512 }; /* names have at most 100 */

static void
add(struct evbuffer *buffer, const void *bytes, size_t size)
{
	if (evbuffer_add(buffer, bytes, size) < 0)
		abort();
}

static void
add_data(struct evbuffer *buffer, const char *bytes, size_t size)
{
	if (size <= POOL_COPY_BYTES)
		add(buffer, bytes, size);
	else if (evbuffer_add_reference(buffer, bytes, size, NULL, NULL) < 0)
		abort();
}

/* Unix time with milliseconds at which its time limit ends. */
static int
put_deadline(char *into, size_t room, const struct task *task)
{
	int64_t at_ms = wall_now_us() / 1000 + task->timeout_ms -
			mono_ms_between(task->started, mono_now());

	return snprintf(into, room,
	    "\"deadline\":%" PRId64 ".%03d,\"timeout_ms\":%" PRId64 ",",
	    at_ms / 1000, (int)(at_ms % 1000), task->timeout_ms);
}

/* Kinds are names of the configuration: nothing in them needs an escape. */
static size_t
put_head(char head[HEAD_BYTES], const struct task *task)
{
	int size = snprintf(head, HEAD_BYTES,
	    "{\"run\":{\"id\":\"%" PRId64 "\",\"kind\":\"%s\",\"attempt\":%d,"
	    "\"token\":\"%" PRId64 "-%" PRId64 "\",",
	    task->id, task->kind, task->attempt, task->lease, task->id);

	if (task->timeout_ms > 0)
		size += put_deadline(
		    head + size, (size_t)(HEAD_BYTES - size), task);
	size +=
	    snprintf(head + size, (size_t)(HEAD_BYTES - size), "\"payload\":");
	return (size_t)size;
}

bool
pool_write_run(struct evbuffer *buffer, const struct task *task, size_t limit)
{
	static const char middle[] = ",\"inputs\":", end[] = "}}\n";
	const char *payload = task->payload != NULL ? task->payload : "null";
	size_t payload_size = task->payload != NULL ? task->payload_size : 4;
	const char *inputs = task->inputs != NULL ? task->inputs : "{}";
	size_t inputs_size = task->inputs != NULL ? task->inputs_size : 2;
	char head[HEAD_BYTES];
	size_t head_size = put_head(head, task);

	if (head_size + payload_size + strlen(middle) + inputs_size +
		strlen(end) >
	    limit)
		return false;
	add(buffer, head, head_size);
	add_data(buffer, payload, payload_size);
	add(buffer, middle, strlen(middle));
	add_data(buffer, inputs, inputs_size);
	add(buffer, end, strlen(end));
	return true;
}

void
pool_write_cancel(
    struct evbuffer *buffer, const struct task *task, enum cancel_reason reason)
{
	static const char *const words[] = {
	    [CANCEL_ASKED] = "asked",
	    [CANCEL_TIMEOUT] = "timeout",
	    [CANCEL_SHUTDOWN] = "shutdown",
	    [CANCEL_FENCED] = "fenced",
	};
	char line[128];
	int size = snprintf(line, sizeof(line),
	    "{\"cancel\":{\"id\":\"%" PRId64 "\",\"reason\":\"%s\"}}\n",
	    task->id, words[reason]);

	add(buffer, line, (size_t)size);
}

void
pool_write_drain(struct evbuffer *buffer)
{
	static const char line[] = "{\"drain\":{}}\n";

	add(buffer, line, strlen(line));
}
