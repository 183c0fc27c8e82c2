#include "daemon/handlers/pool_write.h"

#include <assert.h>
#include <event2/buffer.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	KIND_BYTES = 100, /* names of the configuration have no more */
	HEAD_BYTES = 512,
	LINE_BYTES = HEAD_BYTES + 2 * (POOL_COPY_BYTES + 32),
};

static void
add(struct evbuffer *buffer, const void *bytes, size_t size)
{
	if (evbuffer_add(buffer, bytes, size) < 0)
		abort();
}

/* Each puts something at `at` and returns where the next thing goes. */

static char *
put(char *at, const char *bytes, size_t size)
{
	memcpy(at, bytes, size);
	return at + size;
}

static inline char *
put_string(char *at, const char *string)
{
	return put(at, string, strlen(string));
}

/* With at least so many digits, of up to 20. */
static char *
put_number(char *at, uint64_t number, int digits)
{
	char reversed[20], *end = reversed + sizeof(reversed), *from = end;

	for (; number > 0 || digits > 0; number /= 10, digits--)
		*--from = (char)('0' + number % 10);
	return put(at, from, (size_t)(end - from));
}

/* Unix time with milliseconds at which its time limit ends. */
static char *
put_deadline(char *at, const struct task *task)
{
	uint64_t limit_ms = (uint64_t)task->timeout_ms;
	uint64_t ends_ms =
	    (uint64_t)(wall_now_us() / 1000 -
		       mono_ms_between(task->started, mono_now())) +
	    limit_ms;

	at = put_string(at, "\"deadline\":");
	at = put_number(at, ends_ms / 1000, 1);
	at = put_string(at, ".");
	at = put_number(at, ends_ms % 1000, 3);
	at = put_string(at, ",\"timeout_ms\":");
	at = put_number(at, limit_ms, 1);
	return put_string(at, ",");
}

/* Nothing in a kind's name needs an escape. */
static char *
put_head(char *at, const struct task *task)
{
	size_t kind_size = strlen(task->kind);

	assert(kind_size <= KIND_BYTES);
	at = put_string(at, "{\"run\":{\"id\":\"");
	at = put_number(at, (uint64_t)task->id, 1);
	if (task->flow > 0) {
		at = put_string(at, "\",\"flow\":\"");
		at = put_number(at, (uint64_t)task->flow, 1);
	}
	at = put_string(at, "\",\"kind\":\"");
	at = put(at, task->kind, kind_size);
	at = put_string(at, "\",\"attempt\":");
	at = put_number(at, (uint64_t)task->attempt, 1);
	at = put_string(at, ",\"token\":\"");
	at = put_number(at, (uint64_t)task->lease, 1);
	at = put_string(at, "-");
	at = put_number(at, (uint64_t)task->id, 1);
	at = put_string(at, "\",");
	if (task->timeout_ms > 0)
		at = put_deadline(at, task);
	return put_string(at, "\"payload\":");
}

/* As put(), but for much: that is not copied, and what stands in the line
 * before it is added first. */
static char *
put_data(struct evbuffer *buffer, char *line, char *at, const char *bytes,
    size_t size)
{
	if (size <= POOL_COPY_BYTES)
		return put(at, bytes, size);
	add(buffer, line, (size_t)(at - line));
	if (evbuffer_add_reference(buffer, bytes, size, NULL, NULL) < 0)
		abort();
	return line;
}

bool
pool_write_run(struct evbuffer *buffer, const struct task *task, size_t limit)
{
	static const char middle[] = ",\"inputs\":", end[] = "}}\n";
	const char *payload = task->payload != NULL ? task->payload : "null";
	size_t payload_size = task->payload != NULL ? task->payload_size : 4;
	const char *inputs = task->inputs != NULL ? task->inputs : "{}";
	size_t inputs_size = task->inputs != NULL ? task->inputs_size : 2;
	char line[LINE_BYTES], *at = put_head(line, task);

	if ((size_t)(at - line) + payload_size + strlen(middle) + inputs_size +
		strlen(end) >
	    limit)
		return false;
	at = put_data(buffer, line, at, payload, payload_size);
	at = put_string(at, middle);
	at = put_data(buffer, line, at, inputs, inputs_size);
	at = put_string(at, end);
	add(buffer, line, (size_t)(at - line));
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
