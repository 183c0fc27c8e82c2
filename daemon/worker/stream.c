#include "daemon/worker/stream.h"

void
stream_progress(struct task *task, double fraction, const char *note,
    size_t note_size, void *argument)
{
	(void)task, (void)fraction, (void)note, (void)note_size, (void)argument;
}

void
stream_chunk(struct task *task, const char *data, size_t size, void *argument)
{
	(void)task, (void)data, (void)size, (void)argument;
}
