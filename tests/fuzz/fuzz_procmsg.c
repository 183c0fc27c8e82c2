/* Messages of a child that has died: common/procmsg.h. */
#include <event2/event.h>
#include <unistd.h>

#include "common/procmsg.h"
#include "tests/fuzz/fuzz.h"

static void
on_message(const struct procmsg *message, void *argument)
{
	const unsigned char *body = message->body;
	size_t *sum = argument;

	MUST(message->size <= PROCMSG_BODY_LIMIT && message->fd == -1);
	for (size_t i = 0; i < message->size; i++)
		*sum += body[i];
}

static void
on_end(const char *reason, void *argument)
{
	(void)argument;
	MUST(reason != NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct event_base *base;
	struct procmsg_channel *channel;
	size_t sum = 0;
	int fds[2];

	if (base == NULL)
		base = event_base_new();
	MUST(procmsg_pair(fds) == 0);
	channel = procmsg_channel_new(base, fds[0], on_message, on_end, &sum);
	if (size > 0)
		MUST(write(fds[1], bytes, size) == (ssize_t)size);
	close(fds[1]);
	procmsg_channel_finish(channel);
	procmsg_channel_free(channel);
	return 0;
}
