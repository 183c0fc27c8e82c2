#include "daemon/handlers/pool_member.h"

#include <assert.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/busy.h"
#include "common/duration.h"
#include "daemon/handlers/pool_member_parts.h"
#include "daemon/handlers/pool_write.h"

struct pool_member *
member_checked(void *argument)
{
	struct pool_member *member = argument;

	assert(member->parts->magic == MEMBER_MAGIC);
	return member;
}

/* One function changes the state. */
static void
enter(struct pool_member *member, enum pool_member_state state)
{
	enum pool_member_state before = member->state;

	assert(state > before ||
	       (state == MEMBER_KILLED && before == MEMBER_KILLED));
	member->state = state;
	if (before <= MEMBER_READY && state > MEMBER_READY)
		pool_member_leaves(member, before);
}

/* Time limits. */

static void
earlier(struct mono *first, struct mono at)
{
	if (at.us != 0 && (first->us == 0 || at.us < first->us))
		*first = at;
}

/* When the next limit of the facts is reached; us 0: never. */
static struct mono
next_limit(const struct pool_member *member)
{
	const struct pool_member_parts *parts = member->parts;
	const struct member_io *io = &parts->io;
	const struct pool_task *task;
	struct mono first = parts->leave_at;

	if (member->state == MEMBER_STARTING)
		earlier(&first, mono_add_ms(member->started,
				    member->pool->start_timeout_ms));
	if (member->state > MEMBER_DRAINING)
		return first;
	if (io->in.length > 0)
		earlier(&first, mono_add_ms(io->heard, MEMBER_LINE_MS));
	if (io->blocked.us != 0)
		earlier(&first, mono_add_ms(io->blocked, MEMBER_STUCK_MS));
	if (member->told > 0)
		TAILQ_FOREACH(task, &member->tasks, link)
	if (task->state == POOL_TASK_TOLD)
		earlier(&first, task->term_at);
	return first;
}

/* The timer is set earlier when need be, and never later: it looks at the
 * facts when it fires. So what moves a limit away costs nothing. */
void
member_watch(struct pool_member *member)
{
	struct pool_member_parts *parts = member->parts;
	struct mono at = next_limit(member);
	int64_t us;

	if (at.us == 0 || (parts->armed.us != 0 && parts->armed.us <= at.us))
		return;
	us = mono_us_between(mono_now(), at);
	us = us > 0 ? us + 999 : 0;
	parts->armed = at;
	event_add(parts->timer,
	    &(struct timeval){.tv_sec = us / 1000000, .tv_usec = us % 1000000});
}

static bool
is_over(struct mono since, int64_t limit_ms, struct mono now)
{
	return mono_ms_between(since, now) >= limit_ms;
}

/* The first cancelled task whose grace is over ends the process. */
static void
look_at_told(struct pool_member *member, struct mono now)
{
	struct pool_task *task;

	TAILQ_FOREACH(task, &member->tasks, link)
	{
		int64_t left_ms = mono_ms_between(now, task->kill_at);

		if (task->state != POOL_TASK_TOLD ||
		    mono_us_between(task->term_at, now) < 0)
			continue;
		member->parts->cause = CAUSE_CANCEL;
		member->parts->blame = task->task->id;
		member_signal(member, left_ms > 0 ? SIGTERM : SIGKILL, left_ms);
		return;
	}
}

static void
look_at_limits(struct pool_member *member, struct mono now)
{
	const struct member_io *io = &member->parts->io;
	struct text limit = TEXT_EMPTY;

	if (member->state == MEMBER_STARTING &&
	    is_over(member->started, member->pool->start_timeout_ms, now)) {
		duration_format(member->pool->start_timeout_ms, &limit);
		member_break(member, "sent no hello within %s (start_timeout)",
		    text_string(&limit));
		text_free(&limit);
	} else if (io->in.length > 0 &&
		   is_over(io->heard, MEMBER_LINE_MS, now)) {
		member_break(member, "sent half a line and nothing for %d s",
		    MEMBER_LINE_MS / 1000);
	} else if (io->blocked.us != 0 &&
		   is_over(io->blocked, MEMBER_STUCK_MS, now)) {
		member_break(member,
		    "has read nothing of what waits for it "
		    "for %d s",
		    MEMBER_STUCK_MS / 1000);
	} else if (member->told > 0) {
		look_at_told(member, now);
	}
}

/* The next step of the way out. */
static void
go_on_leaving(struct pool_member *member)
{
	if (member->parts->cause == CAUSE_NONE)
		member_break(member, "closed its socket and did not end");
	else
		member_signal(member,
		    member->state == MEMBER_DRAINING ? SIGTERM : SIGKILL,
		    MEMBER_LEAVE_MS);
}

void
member_on_timer(int fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct pool_member *member = member_checked(argument);
	struct pool_member_parts *parts = member->parts;
	struct busy busy = busy_enter("time limit of a pool's process");
	struct mono now = mono_now();

	parts->armed.us = 0;
	if (member->state <= MEMBER_DRAINING)
		look_at_limits(member, now);
	if (parts->leave_at.us != 0 &&
	    mono_us_between(parts->leave_at, now) >= 0)
		go_on_leaving(member);
	member_watch(member);
	busy_leave(busy);
}

/* The way out. */

void
member_signal(struct pool_member *member, int signal_number, int64_t next_ms)
{
	struct pool_member_parts *parts = member->parts;
	bool kill = signal_number == SIGKILL;

	if (member->state == MEMBER_KILLED && kill)
		log_warning("process %d of %s does not end after SIGKILL, "
			    "still waiting",
		    (int)member->pid, member->pool->kind);
	process_signal(parts->process, signal_number);
	process_signal(parts->process, SIGCONT); /* a stopped one hears too */
	if (kill)
		next_ms = MEMBER_KILL_AGAIN_MS;
	parts->leave_at = mono_add_ms(mono_now(), next_ms);
	enter(member, kill ? MEMBER_KILLED : MEMBER_TOLD);
	member_watch(member);
}

void
member_break(struct pool_member *member, const char *format, ...)
{
	struct pool_member_parts *parts = member->parts;
	struct log_context context = {.kind = member->pool->kind};
	char words[1024];
	va_list arguments;

	if (parts->cause == CAUSE_BROKE || member->state == MEMBER_KILLED)
		return;
	va_start(arguments, format);
	(void)vsnprintf(words, sizeof(words), format, arguments);
	va_end(arguments);
	parts->cause = CAUSE_BROKE;
	text_add_string(&parts->wrong, words);
	log_write(LOG_LEVEL_WARNING, LOG_PLAIN, &context,
	    "process %d of %s is ended, it broke the protocol: it %s",
	    (int)member->pid, member->pool->kind, words);
	member_io_stop_reading(member);
	member_signal(member, SIGKILL, 0);
}

void
member_closed(struct pool_member *member)
{
	if (member->state > MEMBER_DRAINING)
		return;
	if (member->state <= MEMBER_READY)
		enter(member, MEMBER_DRAINING);
	if (member->parts->leave_at.us == 0)
		member->parts->leave_at =
		    mono_add_ms(mono_now(), MEMBER_LEAVE_MS);
	member_watch(member);
}

void
member_dismiss(struct pool_member *member)
{
	member_io_finish(member);
	member->parts->leave_at =
	    mono_add_ms(mono_now(), member->pool->grace_ms);
	member_watch(member);
}

void
pool_member_drain(struct pool_member *member)
{
	size_t before = evbuffer_get_length(member->parts->io.out);

	if (member->state > MEMBER_READY)
		return;
	member->parts->cause = CAUSE_DRAIN;
	if (member->state == MEMBER_STARTING) { /* has nothing to end */
		member_signal(member, SIGTERM, MEMBER_LEAVE_MS);
		return;
	}
	enter(member, MEMBER_DRAINING);
	pool_write_drain(member->parts->io.out);
	member_io_added(member, before);
	if (member->running == 0)
		member_dismiss(member);
	pool_member_flush(member);
}

void
pool_member_kill(struct pool_member *member)
{
	if (member->state < MEMBER_KILLED)
		member_signal(member, SIGKILL, 0);
}

/* Tasks. */

void
member_ready(struct pool_member *member, const struct pool_message *hello)
{
	if (member->concurrency != 0) {
		member_break(member, "said hello twice");
		return;
	}
	if (!pool_message_has_kind(hello, member->pool->kind)) {
		member_break(member,
		    "said in its hello that it does not "
		    "serve %s",
		    member->pool->kind);
		return;
	}
	member->concurrency = hello->concurrency;
	member->idle_since = mono_now();
	if (member->state != MEMBER_STARTING)
		return;
	enter(member, MEMBER_READY);
	pool_member_is_ready(member);
}

bool
pool_member_has_room(const struct pool_member *member)
{
	return member->state == MEMBER_READY && !member->full &&
	       member->running < member->concurrency;
}

bool
pool_member_run(struct pool_member *member, struct pool_task *task)
{
	struct member_io *io = &member->parts->io;
	size_t before = evbuffer_get_length(io->out);

	if (!pool_write_run(io->out, task->task, member->pool->max_message))
		return false;
	member_io_added(member, before);
	task->member = member;
	task->state = POOL_TASK_SENT;
	task->end = io->queued;
	TAILQ_INSERT_TAIL(&member->tasks, task, link);
	member->running++;
	return true;
}

/* The kill comes after the grace, but within it when the worker itself has no
 * more time than that. */
static void
set_limits(struct pool_task *task, enum cancel_reason reason, int64_t grace_ms)
{
	int64_t more_ms =
	    grace_ms < MEMBER_LEAVE_MS ? grace_ms : MEMBER_LEAVE_MS;
	struct mono now = mono_now(), term_at, kill_at;
	bool first = task->state != POOL_TASK_TOLD;

	if (reason == CANCEL_SHUTDOWN)
		grace_ms -= more_ms;
	term_at = mono_add_ms(now, grace_ms);
	kill_at = mono_add_ms(term_at, more_ms);
	if (first || mono_us_between(term_at, task->term_at) > 0)
		task->term_at = term_at;
	if (first || mono_us_between(kill_at, task->kill_at) > 0)
		task->kill_at = kill_at;
}

void
pool_member_cancel(struct pool_member *member, struct pool_task *task,
    enum cancel_reason reason, int64_t grace_ms)
{
	struct pool_member_parts *parts = member->parts;
	size_t before = evbuffer_get_length(parts->io.out);

	set_limits(task, reason, grace_ms > 0 ? grace_ms : 0);
	if (task->state == POOL_TASK_SENT) {
		task->state = POOL_TASK_TOLD;
		member->told++;
		if (member->state <= MEMBER_DRAINING) {
			pool_write_cancel(parts->io.out, task->task, reason);
			member_io_added(member, before);
		}
	}
	if (member->state == MEMBER_TOLD &&
	    mono_us_between(task->kill_at, parts->leave_at) > 0)
		parts->leave_at = task->kill_at;
	pool_member_flush(member);
	member_watch(member);
}

void
pool_member_flush(struct pool_member *member)
{
	member_io_flush(member);
}

int64_t
pool_member_memory(const struct pool_member *member)
{
	char path[40], buffer[128];
	long pages = 0;
	ssize_t length;
	char *space;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/statm", (int)member->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	length = read(fd, buffer, sizeof(buffer) - 1);
	close(fd);
	if (length <= 0)
		return 0;
	buffer[length] = '\0';
	space = strchr(buffer, ' ');
	if (space != NULL)
		pages = strtol(space, NULL, 10);
	return (int64_t)pages * sysconf(_SC_PAGESIZE);
}
