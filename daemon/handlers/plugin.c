/*
 * C code in shared objects, on threads of the worker. All that is decided is
 * decided on the loop: which task runs when, cancel, the outcome. A task whose
 * worker died with it before runs alone: no other plugin's task of this worker
 * beside it, so that it is known who crashed.
 */
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/busy.h"
#include "common/log.h"
#include "common/plugin_load.h"
#include "daemon/handlers/plugin_parts.h"

enum { LOAD_AGAIN_MS = 1000 };

struct handler {
	const struct handler_host *host;
	const struct handler_config *config;
	muster_run *run; /* NULL: not loaded */
	struct text trouble;
	struct mono tried; /* when it was last tried to be loaded */
	struct plugin_threads *threads;
	struct plugin_line waiting;
	int running; /* given to threads and not left */
	LIST_ENTRY(handler) link;
};

/* All plugins of this process: who may run depends on the others. */
static LIST_HEAD(, handler) handlers = LIST_HEAD_INITIALIZER(handlers);
static int running_in_all;
static struct plugin_job *alone_now;

static void go_on(void);

struct plugin_job *
plugin_job_free(struct plugin_job *job)
{
	if (job->grace != NULL)
		event_free(job->grace);
	if (job->cancel_fd >= 0)
		close(job->cancel_fd);
	text_free(&job->result);
	text_free(&job->error);
	free(job->kind);
	free(job->queue);
	free(job->payload);
	free(job->inputs);
	free(job);
	return NULL;
}

static char *
copy(const char *bytes, size_t size)
{
	char *made = malloc(size + 1);

	if (made == NULL)
		abort();
	memcpy(made, bytes, size);
	made[size] = '\0';
	return made;
}

static int64_t
deadline_of(const struct task *task)
{
	struct timespec now;

	if (task->timeout_ms <= 0)
		return 0;
	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000 +
	       task->timeout_ms;
}

static void
describe(struct plugin_job *job, const struct task *task)
{
	const char *inputs = task->inputs != NULL ? task->inputs : "{}";
	size_t size = task->inputs != NULL ? task->inputs_size : 2;

	job->kind = copy(task->kind, strlen(task->kind));
	job->queue = copy(task->queue, strlen(task->queue));
	job->payload = copy(task->payload, task->payload_size);
	job->inputs = copy(inputs, size);
	snprintf(job->token, sizeof(job->token), "%" PRId64 "-%" PRId64,
	    task->lease, task->id);
	job->public = (struct muster_task){.calls = &plugin_calls,
	    .id = task->id,
	    .flow = task->flow,
	    .deadline_ms = deadline_of(task),
	    .kind = job->kind,
	    .queue = job->queue,
	    .token = job->token,
	    .payload = job->payload,
	    .payload_size = task->payload_size,
	    .inputs = job->inputs,
	    .inputs_size = size,
	    .attempt = task->attempt};
}

static struct plugin_job *
job_new(struct handler *handler, struct task *task)
{
	struct plugin_job *job = calloc(1, sizeof(*job));

	if (job == NULL)
		abort();
	describe(job, task);
	job->threads = handler->threads;
	job->task = task;
	job->alone = task->rescues > 0;
	job->board = handler->host->scoreboard;
	job->slot = task->scoreboard_slot;
	job->max_result = handler->host->config->max_result_bytes;
	job->cancel_fd = -1;
	job->after_ms = -1;
	task->state = job;
	return job;
}

static void
report(struct handler *handler, struct task *task, enum outcome_kind kind,
    const char *error)
{
	struct outcome outcome = {.kind = kind,
	    .error = error,
	    .error_size = strlen(error),
	    .after_ms = -1};

	task->state = NULL;
	handler->host->on_done(task, &outcome, handler->host->argument);
}

/* It runs no more, as far as others are concerned. */
static void
count_out(struct handler *handler, struct plugin_job *job)
{
	handler->running--;
	running_in_all--;
	if (alone_now == job)
		alone_now = NULL;
}

static void
result_of(struct plugin_job *job, struct outcome *outcome)
{
	outcome->kind = OUTCOME_FAILED_HARD;
	if (job->too_large > 0) {
		text_clear(&job->error);
		text_addf(&job->error,
		    "the result has %zu bytes, more than max_result (%" PRId64
		    ")",
		    job->too_large, job->max_result);
	} else if (job->unfit != NULL) {
		text_clear(&job->error);
		text_addf(&job->error, "the result %s", job->unfit);
	} else {
		outcome->kind = OUTCOME_SUCCEEDED;
		if (job->result.length > 0)
			outcome->result = text_string(&job->result);
		outcome->result_size = job->result.length;
	}
}

static void
on_ended(struct plugin_job *job, void *argument)
{
	struct handler *handler = argument;
	struct task *task = job->task;
	struct outcome outcome = {.after_ms = -1};

	count_out(handler, job);
	switch (job->end) {
	case MUSTER_DONE:
		result_of(job, &outcome);
		break;
	case MUSTER_FAILED_FOR_GOOD:
		outcome.kind = OUTCOME_FAILED_HARD;
		break;
	case MUSTER_TRY_LATER:
		outcome.kind = OUTCOME_TRY_LATER;
		outcome.after_ms = job->after_ms;
		break;
	default:
		outcome.kind = OUTCOME_FAILED;
		break;
	}
	outcome.error = text_string(&job->error);
	outcome.error_size = job->error.length;
	task->state = NULL;
	handler->host->on_done(task, &outcome, handler->host->argument);
	plugin_job_free(job);
	go_on();
}

static void
on_progress(
    struct plugin_job *job, double fraction, const char *note, void *argument)
{
	struct handler *handler = argument;

	handler->host->on_progress(
	    job->task, fraction, note, strlen(note), handler->host->argument);
}

static void
load(struct handler *handler)
{
	struct mono now = mono_now();

	if (handler->run != NULL ||
	    (handler->tried.us != 0 &&
		mono_ms_between(handler->tried, now) < LOAD_AGAIN_MS))
		return;
	handler->tried = now;
	handler->run = plugin_load(handler->config->plugin, &handler->trouble);
}

static void
give(struct handler *handler, struct plugin_job *job)
{
	struct task *task = job->task;

	TAILQ_REMOVE(&handler->waiting, job, link);
	job->given = true;
	if (!plugin_threads_give(handler->threads, job, handler->run)) {
		plugin_job_free(job);
		report(handler, task, OUTCOME_CANNOT_RUN,
		    "no thread can be started");
		return;
	}
	handler->running++;
	running_in_all++;
	if (job->alone)
		alone_now = job;
}

/* One that is to run alone waits for all, and what comes later waits for it. */
static bool
may_run(const struct plugin_job *job)
{
	if (alone_now != NULL)
		return false;
	return !job->alone || running_in_all == 0;
}

static bool
someone_waits_to_be_alone(void)
{
	struct handler *handler;
	struct plugin_job *job;

	LIST_FOREACH(handler, &handlers, link)
	{
		job = TAILQ_FIRST(&handler->waiting);
		if (job != NULL && job->alone)
			return true;
	}
	return false;
}

static void
go_on(void)
{
	struct handler *handler;
	struct plugin_job *job;
	bool only_alone = someone_waits_to_be_alone();

	LIST_FOREACH(handler, &handlers, link)
	while ((job = TAILQ_FIRST(&handler->waiting)) != NULL &&
	       handler->running < handler->config->threads &&
	       (!only_alone || job->alone) && may_run(job))
		give(handler, job);
}

static struct handler *
plugin_open(
    const struct handler_host *host, const struct handler_config *config)
{
	static const struct plugin_events events = {
	    .on_progress = on_progress, .on_ended = on_ended};
	struct handler *handler = calloc(1, sizeof(*handler));

	if (handler == NULL)
		abort();
	handler->host = host;
	handler->config = config;
	TAILQ_INIT(&handler->waiting);
	handler->threads =
	    plugin_threads_new(host->base, config->kind, &events, handler);
	LIST_INSERT_HEAD(&handlers, handler, link);
	load(handler);
	return handler;
}

static const char *
plugin_trouble(struct handler *handler)
{
	return handler->run == NULL ? text_string(&handler->trouble) : NULL;
}

static void
plugin_start(struct handler *handler, struct task *task)
{
	struct plugin_job *job;

	load(handler);
	if (handler->run == NULL) {
		report(handler, task, OUTCOME_CANNOT_RUN,
		    text_string(&handler->trouble));
		return;
	}
	job = job_new(handler, task);
	if (job->alone)
		TAILQ_INSERT_HEAD(&handler->waiting, job, link);
	else
		TAILQ_INSERT_TAIL(&handler->waiting, job, link);
	go_on();
}

/* Its threads are as many as before; those that are stuck are beside them, and
 * when they would be as many the worker is better replaced. */
static void
tell_of_stuck(struct handler *handler)
{
	int stuck = plugin_threads_stuck(handler->threads);
	struct text text = TEXT_EMPTY;

	text_addf(&text,
	    "%d of %d threads of the plugin of %s do not end what they were "
	    "told to end",
	    stuck, handler->config->threads, handler->config->kind);
	handler->host->on_damage(text_string(&text),
	    stuck >= handler->config->threads, handler->host->argument);
	text_free(&text);
}

static void
on_grace_over(evutil_socket_t fd, short what, void *argument)
{
	struct plugin_job *job = argument;
	struct task *task = job->task;
	struct handler *handler;
	struct busy busy = busy_enter("grace time of a plugin");

	(void)fd, (void)what;
	event_free(job->grace); /* its thread may free the rest */
	job->grace = NULL;
	LIST_FOREACH(handler, &handlers, link)
	if (handler->threads == job->threads)
		break;
	if (handler != NULL && plugin_threads_leave(handler->threads, job)) {
		/* From here on it belongs to its thread, if it still is. */
		count_out(handler, job);
		tell_of_stuck(handler);
		report(handler, task, OUTCOME_CANCELLED,
		    "its function did not end when it was told to, and was "
		    "left alone");
		go_on();
	}
	busy_leave(busy);
}

static void
arm_grace(struct handler *handler, struct plugin_job *job, int64_t grace_ms)
{
	struct timeval after = {
	    .tv_sec = grace_ms / 1000, .tv_usec = grace_ms % 1000 * 1000};

	if (job->grace == NULL)
		job->grace =
		    evtimer_new(handler->host->base, on_grace_over, job);
	if (job->grace == NULL)
		abort();
	event_add(job->grace, &after);
}

static void
drop(struct handler *handler, struct plugin_job *job)
{
	struct task *task = job->task;

	plugin_job_free(job);
	report(handler, task, OUTCOME_CANCELLED, "");
	go_on();
}

static void
plugin_cancel(struct handler *handler, struct task *task,
    enum cancel_reason reason, int64_t grace_ms)
{
	struct plugin_job *job = task->state;

	(void)reason;
	if (job == NULL)
		return;
	if (!job->given) {
		TAILQ_REMOVE(&handler->waiting, job, link);
		drop(handler, job);
	} else if (plugin_threads_take_back(handler->threads, job)) {
		count_out(handler, job);
		drop(handler, job);
	} else {
		plugin_threads_cancel(job);
		arm_grace(handler, job, grace_ms);
	}
}

static int
plugin_capacity(struct handler *handler)
{
	return handler->config->threads + handler->config->queue_limit;
}

static void
plugin_close(struct handler *handler)
{
	LIST_REMOVE(handler, link);
	plugin_threads_free(handler->threads);
	text_free(&handler->trouble);
	free(handler);
}

const struct handler_ops handler_plugin = {.name = "plugin",
    .open = plugin_open,
    .trouble = plugin_trouble,
    .start = plugin_start,
    .cancel = plugin_cancel,
    .capacity = plugin_capacity,
    .close = plugin_close};
