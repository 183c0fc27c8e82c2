#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/busy.h"
#include "common/log.h"
#include "daemon/handlers/output.h"
#include "daemon/handlers/plugin_parts.h"

struct plugin_threads {
	char name[16];
	struct plugin_events events;
	void *argument;
	struct event *readable; /* the eventfd: something ended or is told */
	int fd;

	pthread_mutex_t mutex;
	pthread_cond_t wake; /* something is given, or all is over */
	struct plugin_line given, ended, told;
	muster_run *run;
	int count, idle, stuck; /* threads */
	bool over;
};

/* Under the mutex. */
static void
tell_loop(const struct plugin_threads *threads)
{
	uint64_t one = 1;

	/* Full is as good: the loop looks anyway. */
	if (write(threads->fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		abort();
}

static void
forget_news(struct plugin_threads *threads, struct plugin_job *job)
{
	if (job->has_news)
		TAILQ_REMOVE(&threads->told, job, told);
	job->has_news = false;
}

/* The thread's part of the work after the function: a large result is not
 * judged on the loop. */
static void
judge(struct plugin_job *job)
{
	if (job->end == MUSTER_DONE && job->too_large == 0)
		job->unfit = output_to_result(&job->result);
}

static void
run_one(struct plugin_threads *threads, struct plugin_job *job)
{
	muster_run *run = threads->run;

	job->state = PLUGIN_RUNNING;
	scoreboard_set_inside(job->board, job->slot, true);
	pthread_mutex_unlock(&threads->mutex);
	job->end = run(&job->public);
	judge(job);
	pthread_mutex_lock(&threads->mutex);
	forget_news(threads, job);
	if (job->left) {
		threads->stuck--;
		plugin_job_free(job);
		return;
	}
	scoreboard_set_inside(job->board, job->slot, false);
	job->state = PLUGIN_ENDED;
	TAILQ_INSERT_TAIL(&threads->ended, job, link);
	tell_loop(threads);
}

static void *
work(void *argument)
{
	struct plugin_threads *threads = argument;
	struct plugin_job *job;

	pthread_mutex_lock(&threads->mutex);
	while (!threads->over) {
		job = TAILQ_FIRST(&threads->given);
		if (job == NULL) {
			threads->idle++;
			pthread_cond_wait(&threads->wake, &threads->mutex);
			threads->idle--;
			continue;
		}
		TAILQ_REMOVE(&threads->given, job, link);
		run_one(threads, job);
	}
	threads->count--;
	pthread_cond_broadcast(&threads->wake);
	pthread_mutex_unlock(&threads->mutex);
	return NULL;
}

/* No signal is for it: the daemon's are read by the loop. */
static bool
start_thread(struct plugin_threads *threads)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	pthread_t thread;
	int error;

	sigfillset(&all);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, PLUGIN_STACK_BYTES);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, &attributes, work, threads);
	if (error == 0)
		pthread_setname_np(thread, threads->name);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	if (error != 0) {
		log_debug("no thread for a plugin: %s", strerror(error));
		return false;
	}
	threads->count++;
	return true;
}

static int
count_given(const struct plugin_threads *threads)
{
	const struct plugin_job *job;
	int count = 0;

	TAILQ_FOREACH(job, &threads->given, link)
	count++;
	return count;
}

bool
plugin_threads_give(
    struct plugin_threads *threads, struct plugin_job *job, muster_run *run)
{
	bool can_run;

	pthread_mutex_lock(&threads->mutex);
	can_run = threads->idle > count_given(threads) || start_thread(threads);
	if (can_run) {
		threads->run = run;
		job->state = PLUGIN_GIVEN;
		TAILQ_INSERT_TAIL(&threads->given, job, link);
		pthread_cond_signal(&threads->wake);
	}
	pthread_mutex_unlock(&threads->mutex);
	return can_run;
}

bool
plugin_threads_take_back(struct plugin_threads *threads, struct plugin_job *job)
{
	bool is_back;

	pthread_mutex_lock(&threads->mutex);
	is_back = job->state == PLUGIN_GIVEN;
	if (is_back)
		TAILQ_REMOVE(&threads->given, job, link);
	pthread_mutex_unlock(&threads->mutex);
	return is_back;
}

bool
plugin_threads_leave(struct plugin_threads *threads, struct plugin_job *job)
{
	bool runs;

	pthread_mutex_lock(&threads->mutex);
	runs = job->state == PLUGIN_RUNNING;
	if (runs) {
		job->left = true;
		threads->stuck++;
		scoreboard_set_inside(job->board, job->slot, false);
		forget_news(threads, job);
	}
	pthread_mutex_unlock(&threads->mutex);
	return runs;
}

int
plugin_threads_stuck(const struct plugin_threads *threads)
{
	struct plugin_threads *mine =
	    (struct plugin_threads *)(uintptr_t)threads;
	int stuck;

	pthread_mutex_lock(&mine->mutex);
	stuck = mine->stuck;
	pthread_mutex_unlock(&mine->mutex);
	return stuck;
}

void
plugin_threads_news(struct plugin_job *job, double fraction, const char *note)
{
	struct plugin_threads *threads = job->threads;
	struct text fit = TEXT_EMPTY;

	text_add_utf8(&fit, note, strlen(note), PLUGIN_NOTE_BYTES - 1);
	pthread_mutex_lock(&threads->mutex);
	job->fraction = fraction;
	snprintf(job->note, sizeof(job->note), "%s", text_string(&fit));
	if (!job->left && !job->has_news) {
		job->has_news = true;
		TAILQ_INSERT_TAIL(&threads->told, job, told);
		tell_loop(threads);
	}
	pthread_mutex_unlock(&threads->mutex);
	text_free(&fit);
}

void
plugin_threads_cancel(struct plugin_job *job)
{
	uint64_t one = 1;

	atomic_store_explicit(&job->cancelled, 1, memory_order_release);
	pthread_mutex_lock(&job->threads->mutex);
	if (job->cancel_fd >= 0 &&
	    write(job->cancel_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		abort();
	pthread_mutex_unlock(&job->threads->mutex);
}

int
plugin_threads_cancel_fd(struct plugin_job *job)
{
	int fd;

	pthread_mutex_lock(&job->threads->mutex);
	if (job->cancel_fd < 0)
		job->cancel_fd = eventfd(atomic_load(&job->cancelled) ? 1 : 0,
		    EFD_CLOEXEC | EFD_NONBLOCK);
	fd = job->cancel_fd;
	pthread_mutex_unlock(&job->threads->mutex);
	return fd;
}

static void
hand_out_news(struct plugin_threads *threads)
{
	struct plugin_job *job;
	char note[PLUGIN_NOTE_BYTES];
	double fraction;

	while ((job = TAILQ_FIRST(&threads->told)) != NULL) {
		forget_news(threads, job);
		fraction = job->fraction;
		memcpy(note, job->note, sizeof(note));
		/* The loop alone ends a job, so it stays while it is told. */
		pthread_mutex_unlock(&threads->mutex);
		threads->events.on_progress(
		    job, fraction, note, threads->argument);
		pthread_mutex_lock(&threads->mutex);
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *argument)
{
	struct plugin_threads *threads = argument;
	struct plugin_job *job;
	struct busy busy = busy_enter("threads of a plugin");
	uint64_t count;

	(void)what;
	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		abort();
	pthread_mutex_lock(&threads->mutex);
	hand_out_news(threads);
	while ((job = TAILQ_FIRST(&threads->ended)) != NULL) {
		TAILQ_REMOVE(&threads->ended, job, link);
		pthread_mutex_unlock(&threads->mutex);
		threads->events.on_ended(job, threads->argument);
		pthread_mutex_lock(&threads->mutex);
	}
	pthread_mutex_unlock(&threads->mutex);
	busy_leave(busy);
}

struct plugin_threads *
plugin_threads_new(struct event_base *base, const char *name,
    const struct plugin_events *events, void *argument)
{
	struct plugin_threads *threads = calloc(1, sizeof(*threads));

	if (threads == NULL)
		abort();
	snprintf(threads->name, sizeof(threads->name), "p:%.13s", name);
	threads->events = *events;
	threads->argument = argument;
	TAILQ_INIT(&threads->given);
	TAILQ_INIT(&threads->ended);
	TAILQ_INIT(&threads->told);
	pthread_mutex_init(&threads->mutex, NULL);
	pthread_cond_init(&threads->wake, NULL);
	threads->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (threads->fd < 0)
		abort();
	threads->readable = event_new(
	    base, threads->fd, EV_READ | EV_PERSIST, on_readable, threads);
	if (threads->readable == NULL)
		abort();
	event_add(threads->readable, NULL);
	return threads;
}

void
plugin_threads_free(struct plugin_threads *threads)
{
	bool all_gone;

	if (threads == NULL)
		return;
	event_free(threads->readable);
	pthread_mutex_lock(&threads->mutex);
	threads->over = true;
	pthread_cond_broadcast(&threads->wake);
	/* Those that rest go at once; one that is stuck may never. */
	while (threads->count > threads->stuck)
		pthread_cond_wait(&threads->wake, &threads->mutex);
	all_gone = threads->count == 0;
	pthread_mutex_unlock(&threads->mutex);
	if (!all_gone)
		return;
	close(threads->fd);
	pthread_cond_destroy(&threads->wake);
	pthread_mutex_destroy(&threads->mutex);
	free(threads);
}
