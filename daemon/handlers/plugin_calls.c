/* What a plugin's function may call, on its thread. */
#include <string.h>

#include "daemon/handlers/plugin_parts.h"

static struct plugin_job *
job_of(struct muster_task *task)
{
	return (struct plugin_job *)(void *)task;
}

static int
is_cancelled(struct muster_task *task)
{
	return atomic_load_explicit(
	    &job_of(task)->cancelled, memory_order_acquire);
}

static int
give_cancel_fd(struct muster_task *task)
{
	return plugin_threads_cancel_fd(job_of(task));
}

static void
take_progress(struct muster_task *task, double fraction, const char *note)
{
	if (!(fraction >= 0))
		fraction = 0;
	plugin_threads_news(
	    job_of(task), fraction > 1 ? 1 : fraction, note ? note : "");
}

static void
take_result(struct muster_task *task, const void *data, size_t size)
{
	struct plugin_job *job = job_of(task);

	text_clear(&job->result);
	job->too_large = size > (size_t)job->max_result ? size : 0;
	if (job->too_large == 0)
		text_add(&job->result, data, size);
}

static void
take_error(struct muster_task *task, const char *text)
{
	struct plugin_job *job = job_of(task);

	text_clear(&job->error);
	text_add_utf8(&job->error, text, strlen(text), PLUGIN_ERROR_BYTES);
}

static void
take_retry_after(struct muster_task *task, int64_t ms)
{
	job_of(task)->after_ms = ms < 0 ? 0 : ms;
}

const struct muster_calls plugin_calls = {.size = sizeof(plugin_calls),
    .cancelled = is_cancelled,
    .cancel_fd = give_cancel_fd,
    .progress = take_progress,
    .result = take_result,
    .error = take_error,
    .retry_after = take_retry_after};
