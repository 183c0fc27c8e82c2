/* The start of a member: its socket, its program, its place in the books. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/handlers/pool_member_parts.h"

enum { LOG_WINDOW_MS = 10000 }; /* in which OUTPUT_LINES are logged */

void
member_describe(struct log_context *ret_context, int64_t id, void *argument)
{
	struct pool_member *member = member_checked(argument);
	const struct pool_task *found = NULL;
	const struct task *task;

	if (id != 0)
		found = member_find(member, id);
	else if (member->running == 1)
		found = TAILQ_FIRST(&member->tasks);
	if (found == NULL) {
		if (member_has_answered(member, id))
			ret_context->task = id;
		return;
	}
	task = found->task;
	ret_context->task = task->id;
	ret_context->flow = task->flow;
	ret_context->attempt = task->attempt;
	ret_context->queue = task->queue;
}

static int
make_socket(int *ret_ours, int *ret_theirs)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	(void)fcntl(
	    fds[0], F_SETFL, O_NONBLOCK); /* on a socket it can't fail */
	*ret_ours = fds[0];
	*ret_theirs = fds[1];
	return 0;
}

/* A program that was missing may have been installed since. */
static int
start_process(struct pool_member *member, int socket,
    struct spawned *ret_spawned, enum spawn_step *ret_failed)
{
	struct handler *pool = member->pool;
	const struct handler_config *config = pool->config;
	struct process_options options = {.base = pool->host.base,
	    .context = {.kind = pool->kind},
	    .handler = &pool->numbers,
	    .describe = member_describe,
	    .logs_output = true,
	    .log_window_ms = LOG_WINDOW_MS,
	    .on_end = member_on_end,
	    .argument = member};
	char *program = spawn_find(
	    config->pool[0], environment_value(pool->environment, "PATH"));
	struct spawn spawn = {.program = program,
	    .argv = config->pool,
	    .envp = environment_alone(pool->environment, pool->max_message),
	    .directory = config->working_directory != NULL
			     ? config->working_directory
			     : "/",
	    .socket = socket,
	    .limits = &pool->limits};
	int r = -ENOENT;

	*ret_failed = SPAWN_PROGRAM;
	if (program != NULL)
		r = process_new(&options, &spawn, &member->parts->process,
		    ret_spawned, ret_failed);
	free(program);
	return r;
}

static void
explain(const struct handler_config *config, enum spawn_step failed, int error,
    struct text *ret_error)
{
	if (failed == SPAWN_PROCESS)
		text_add_string(ret_error, "cannot start a process");
	else if (failed == SPAWN_DIRECTORY)
		text_addf(ret_error, "cannot enter working_directory %s",
		    config->working_directory);
	else
		text_addf(ret_error, "cannot run %s", config->pool[0]);
	text_addf(ret_error, ": %s", strerror(error));
}

static bool
may_pass(enum spawn_step failed, int error)
{
	return failed == SPAWN_PROCESS || error == EAGAIN || error == ENOMEM ||
	       error == ENFILE || error == EMFILE;
}

static struct pool_member *
member_new(struct handler *pool)
{
	struct pool_member *member = calloc(1, sizeof(*member));
	struct pool_member_parts *parts = calloc(1, sizeof(*parts));

	if (member == NULL || parts == NULL)
		abort();
	parts->magic = MEMBER_MAGIC;
	parts->group = -1;
	member->parts = parts;
	member->pool = pool;
	member->state = MEMBER_STARTING;
	member->started = member->idle_since = mono_now();
	TAILQ_INIT(&member->tasks);
	return member;
}

static int
start(struct pool_member *member, enum spawn_step *ret_failed)
{
	struct spawned spawned;
	int ours = -1, theirs = -1, r;

	*ret_failed = SPAWN_PROCESS;
	r = make_socket(&ours, &theirs);
	if (r < 0)
		return r;
	r = start_process(member, theirs, &spawned, ret_failed);
	close(theirs);
	if (r < 0) {
		close(ours);
		return r;
	}
	member->pid = spawned.pid;
	member->parts->group = scoreboard_group_begin(
	    member->pool->host.scoreboard, spawned.pid, spawned.start_time);
	member_io_open(member, ours);
	return 0;
}

struct pool_member *
pool_member_new(struct handler *pool, struct text *ret_error, bool *ret_later)
{
	struct pool_member *member = member_new(pool);
	enum spawn_step failed;
	int r = start(member, &failed);

	if (r < 0) {
		explain(pool->config, failed, -r, ret_error);
		*ret_later = may_pass(failed, -r);
		free(member->parts);
		free(member);
		return NULL;
	}
	member->parts->timer =
	    evtimer_new(pool->host.base, member_on_timer, member);
	if (member->parts->timer == NULL)
		abort();
	member_watch(member);
	return member;
}
