/*
 * Handlers for musterd as shared objects: a C function that is called for each
 * task of a kind, on one of the worker's threads.
 *
 *	#include <muster/plugin.h>
 *
 *	static enum muster_end
 *	run(struct muster_task *task)
 *	{
 *		muster_result(task, "{\"pages\":5}", 11);
 *		return MUSTER_DONE;
 *	}
 *
 *	MUSTER_PLUGIN(run)
 *
 *	cc -shared -fPIC $(pkg-config --cflags musterd-plugin) \
 *	    -o pages.so pages.c
 *
 *	handlers:
 *	  pages: {plugin: /usr/lib/app/pages.so, threads: 4}
 *
 * The function runs in the daemon's own process, as its user, beside other
 * tasks: on several threads at a time, with all signals blocked. It must not
 * fork, change signal handlers, the working folder or the locale, close
 * descriptors that are not its own, or exit. If it crashes its worker dies with
 * it. A thread cannot be killed: when a task is cancelled or out of time its
 * function is told, and must return soon; if it does not, the task is failed
 * and the thread left alone, and a worker that lost all its threads so is
 * replaced. Code that cannot promise this is better run by exec or pool.
 *
 * The library is loaded once a worker and never unloaded: a new version takes
 * a new path, or new workers.
 */
#ifndef MUSTER_PLUGIN_H
#define MUSTER_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Grows when a plugin that was built before would misbehave. */
#define MUSTER_PLUGIN_ABI 1

enum muster_end {
	MUSTER_DONE = 0,
	MUSTER_FAILED = 1, /* this attempt; retried while some remain */
	MUSTER_FAILED_FOR_GOOD = 2,
	MUSTER_TRY_LATER = 3, /* retried, the attempt is not charged */
};

struct muster_calls;

/* What the function is called with; valid until it returns, and to be used by
 * its thread alone, but for muster_cancelled. */
struct muster_task {
	const struct muster_calls *calls; /* for the functions below */
	int64_t id, flow;		  /* flow 0: none */
	int64_t deadline_ms;		  /* Unix time; 0: none */
	const char *kind, *queue;
	const char *token;   /* of this attempt, for fencing elsewhere */
	const char *payload; /* JSON, with a NUL behind its end */
	size_t payload_size;
	const char *inputs; /* JSON: what came of the tasks it depends on */
	size_t inputs_size;
	int32_t attempt; /* from 1 */
};

typedef enum muster_end muster_run(struct muster_task *task);

/* What the shared object exports under the name muster_plugin. */
struct muster_plugin {
	uint32_t abi;
	uint32_t size; /* of this struct */
	muster_run *run;
};

#define MUSTER_PLUGIN(function)                                                \
	__attribute__((visibility("default")))                                 \
	const struct muster_plugin muster_plugin = {                           \
	    MUSTER_PLUGIN_ABI, sizeof(struct muster_plugin), function};

#ifdef __cplusplus
extern const struct muster_plugin muster_plugin;
#endif

struct muster_calls {
	uint32_t size;
	int (*cancelled)(struct muster_task *task);
	int (*cancel_fd)(struct muster_task *task);
	void (*progress)(
	    struct muster_task *task, double fraction, const char *note);
	void (*result)(struct muster_task *task, const void *data, size_t size);
	void (*error)(struct muster_task *task, const char *text);
	void (*retry_after)(struct muster_task *task, int64_t ms);
};

/* Not 0 when the function is to end soon: the task was cancelled, is out of
 * time, or the daemon stops. Cheap: ask often. */
static inline int
muster_cancelled(struct muster_task *task)
{
	return task->calls->cancelled(task);
}

/* A descriptor that becomes readable then, for poll(); -1: there is none. It
 * belongs to the daemon: do not read or close it. */
static inline int
muster_cancel_fd(struct muster_task *task)
{
	return task->calls->cancel_fd(task);
}

/* How far it is, 0 to 1, with a note for people (UTF-8; NULL: none). */
static inline void
muster_progress(struct muster_task *task, double fraction, const char *note)
{
	task->calls->progress(task, fraction, note);
}

/* The result, copied; the last one counts. None is null; JSON is kept as it is,
 * other UTF-8 becomes a JSON string. More than max_result fails the task. */
static inline void
muster_result(struct muster_task *task, const void *data, size_t size)
{
	task->calls->result(task, data, size);
}

/* Why it fails, copied; the last one counts. */
static inline void
muster_error(struct muster_task *task, const char *text)
{
	task->calls->error(task, text);
}

/* With MUSTER_TRY_LATER: not before so many milliseconds. */
static inline void
muster_retry_after(struct muster_task *task, int64_t ms)
{
	task->calls->retry_after(task, ms);
}

#ifdef __cplusplus
}
#endif

#endif
