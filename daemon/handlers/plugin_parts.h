/*
 * The inside of the plugin handler, shared by daemon/handlers/plugin*.c alone.
 *
 * plugin.c          jobs, on the loop: who may run, cancel, what came of it
 * plugin_threads.c  the threads of one handler, and the way back to the loop
 * plugin_calls.c    what a plugin's function may call
 */
#ifndef DAEMON_HANDLERS_PLUGIN_PARTS_H
#define DAEMON_HANDLERS_PLUGIN_PARTS_H

#include <muster/plugin.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "common/text.h"
#include "daemon/handlers/handler.h"

struct event;
struct plugin_threads;

enum {
	PLUGIN_STACK_BYTES = 2 << 20,
	PLUGIN_NOTE_BYTES = 256,
	PLUGIN_ERROR_BYTES = 4 << 10,
};

/*
 * A task as its plugin knows it. The job owns copies of all that, because the
 * thread may go on with it after the task was given up.
 *
 *   WAITING ──→ GIVEN ──→ RUNNING ──→ ENDED ──→ (freed by the loop)
 *      │cancel     │cancel     │ left alone
 *      └→ (freed)  └→ (freed)  └──→ (freed by its thread, one day)
 */
enum plugin_state {
	PLUGIN_WAITING, /* for a thread, or for its turn to run alone */
	PLUGIN_GIVEN,	/* no thread has begun it */
	PLUGIN_RUNNING,
	PLUGIN_ENDED, /* on its way to the loop */
};

struct plugin_job {
	struct muster_task public;    /* first: what the plugin gets */
	TAILQ_ENTRY(plugin_job) link; /* WAITING, GIVEN or ENDED */
	TAILQ_ENTRY(plugin_job) told; /* while has_news */
	struct plugin_threads *threads;
	struct task *task;   /* the loop's */
	struct event *grace; /* the loop's; NULL: not told to end */
	bool given;	     /* to the threads; else it waits */
	bool alone;	     /* its worker died with it before */
	struct scoreboard *board;
	int slot;
	int64_t max_result;
	char *kind, *queue, *payload, *inputs;
	char token[48];

	atomic_int cancelled;

	/* Under the threads' mutex. */
	enum plugin_state state;
	bool left;     /* the loop gave it up while it ran */
	int cancel_fd; /* -1: nobody asked for one */
	bool has_news;
	double fraction;
	char note[PLUGIN_NOTE_BYTES];

	/* The thread's until ENDED, then the loop's. */
	enum muster_end end;
	int64_t after_ms;
	size_t too_large;  /* a result of so many bytes; 0: none */
	const char *unfit; /* what is wrong with the result; NULL: nothing */
	struct text result, error;
};
TAILQ_HEAD(plugin_line, plugin_job);

/* plugin.c */
struct plugin_job *plugin_job_free(struct plugin_job *job);

/* plugin_threads.c */

/* On the loop. */
struct plugin_events {
	void (*on_progress)(struct plugin_job *job, double fraction,
	    const char *note, void *argument);
	void (*on_ended)(struct plugin_job *job, void *argument);
};
struct plugin_threads *plugin_threads_new(struct event_base *base,
    const char *name, const struct plugin_events *events, void *argument);
/* No job may be given or run; jobs that were left alone keep their threads
 * and all they need. NULL ok. */
void plugin_threads_free(struct plugin_threads *threads);
/* A thread will run it. False: no thread can be started. */
bool plugin_threads_give(
    struct plugin_threads *threads, struct plugin_job *job, muster_run *run);
/* Takes back what no thread has begun; false: too late. */
bool plugin_threads_take_back(
    struct plugin_threads *threads, struct plugin_job *job);
/* Leaves it to its thread for good; false: it has just ended. */
bool plugin_threads_leave(
    struct plugin_threads *threads, struct plugin_job *job);
/* How many threads run a job that was left to them. */
int plugin_threads_stuck(const struct plugin_threads *threads);
/* From a thread: there is news of its progress. */
void plugin_threads_news(
    struct plugin_job *job, double fraction, const char *note);
void plugin_threads_cancel(struct plugin_job *job);
int plugin_threads_cancel_fd(struct plugin_job *job);

/* plugin_calls.c */
extern const struct muster_calls plugin_calls;

#endif
