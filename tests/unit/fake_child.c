/*
 * Children for tests of the supervisor alone: linked into a musterd in the
 * place of worker and scheduler. What they do stands in the file `behaviour`
 * in runtime_dir, words that are looked for when they start:
 *
 *	no-ready    never READY            exit-78     end so at once
 *	crash       abort when READY       nonsense    send a wrong message
 *	unready     as no-ready, but only in configurations after the first
 *	stubborn    don't obey a drain     spin        hang in a callback
 *	no-ack      scheduler: keep death reports unanswered
 *	unrecorded  say at the end that PostgreSQL was not told of 2 tasks
 *	handlers    run two tasks, whose handlers have children of their own
 */
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/busy.h"
#include "common/child.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/start_time.h"

enum { TASKS = 2, TASK_BASE = 4200 };

struct fake {
	struct loop *loop;
	struct config *config;
	bool is_worker, orphan;
	int slot;
	char behaviour[1024];
};

static bool
does(const struct fake *fake, const char *word)
{
	return strstr(fake->behaviour, word) != NULL;
}

static void
behaviour_read(struct fake *fake)
{
	char path[512];
	snprintf(path, sizeof path, "%s/%s.behaviour",
	    fake->config->runtime_dir,
	    fake->is_worker ? "worker" : "scheduler");
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	ssize_t length = read(fd, fake->behaviour, sizeof fake->behaviour - 1);
	if (length > 0)
		fake->behaviour[length] = '\0';
	close(fd);
}

/* A handler: a group of its own with a grandchild in it, and one that left
 * the group. */
static pid_t
handler_start(void)
{
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	setpgid(0, 0);
	if (fork() == 0 && fork() == 0)
		setsid();
	execlp("sleep", "sleep", "1000", (char *)NULL);
	_exit(127);
}

static void
handlers_start(struct fake *fake)
{
	struct scoreboard *board = loop_scoreboard(fake->loop);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	for (int i = 0; i < TASKS; i++) {
		int slot = scoreboard_task_begin(
		    board, TASK_BASE + fake->slot * 10 + i, "default", "nap");
		pid_t pid = handler_start();
		setpgid(pid, pid);
		scoreboard_set_group(board, slot, pid, process_start_time(pid));
	}
}

static void
on_config(struct config *config, uint64_t generation, void *argument)
{
	struct fake *fake = argument;
	config_free(fake->config);
	fake->config = config;
	log_set_level(config->log_level);
	loop_config_taken(fake->loop, generation);
	log_info("took configuration %llu", (unsigned long long)generation);
}

static void
leave(struct fake *fake)
{
	struct procmsg_drained drained = {
	    .unrecorded = does(fake, "unrecorded") ? 2 : 0};
	loop_send(fake->loop, PROCMSG_DRAINED, &drained, sizeof drained);
	loop_stop(fake->loop, drained.unrecorded ? 75 : 0);
}

static void
on_drain(int64_t cancel_ms, int64_t gone_ms, void *argument)
{
	struct fake *fake = argument;
	log_info("drain: %lld ms, %lld ms", (long long)cancel_ms,
	    (long long)gone_ms);
	scoreboard_set_state(loop_scoreboard(fake->loop), SCOREBOARD_DRAINING);
	if (!does(fake, "stubborn"))
		leave(fake);
}

static void
on_log_state(void *argument)
{
	struct fake *fake = argument;
	log_notice("state of fake %d", fake->slot);
}

static void
on_orphan(const char *reason, void *argument)
{
	struct fake *fake = argument;
	log_notice("orphan: %s", reason);
	if (does(fake, "stubborn"))
		fake->orphan = true;
	else
		loop_stop(fake->loop, 0);
}

static void
on_message(const struct procmsg *message, void *argument)
{
	struct fake *fake = argument;
	struct procmsg_death death;
	struct procmsg_worker worker;
	if (message->fd >= 0)
		close(message->fd);
	if (message->type == PROCMSG_WORKER_FD) {
		memcpy(&worker, message->body, sizeof worker);
		log_info("worker %lld at %d", (long long)worker.worker_id,
		    worker.slot);
	}
	if (message->type == PROCMSG_WORKER_GONE)
		log_info("worker gone");
	if (message->type != PROCMSG_DEATH_REPORT)
		return;
	memcpy(&death, message->body, sizeof death);
	log_info("death report %llu: worker %lld %s, %u started, known %d, "
		 "crashed %d",
	    (unsigned long long)death.number, (long long)death.worker_id,
	    death.cause, death.started, death.started_known, death.crashed);
	if (!does(fake, "no-ack"))
		loop_send(fake->loop, PROCMSG_DEATH_ACK, &death.number,
		    sizeof death.number);
}

static const struct loop_callbacks callbacks = {
    on_config, on_drain, on_log_state, on_orphan, on_message};

static void
on_start(evutil_socket_t fd, short what, void *argument)
{
	struct fake *fake = argument;
	struct scoreboard *board = loop_scoreboard(fake->loop);
	struct procmsg_identity identity = {.worker_id = getpid()};
	(void)fd;
	(void)what;
	if (does(fake, "no-ready") ||
	    (does(fake, "unready") && loop_generation(fake->loop) > 1)) {
		loop_status(fake->loop, "waiting for something");
		return;
	}
	if (fake->is_worker) {
		scoreboard_set_worker(board, identity.worker_id);
		loop_send(
		    fake->loop, PROCMSG_IDENTITY, &identity, sizeof identity);
	}
	scoreboard_set_state(board, SCOREBOARD_RUNNING);
	loop_send(fake->loop, PROCMSG_READY, NULL, 0);
	if (does(fake, "handlers"))
		handlers_start(fake);
	if (does(fake, "crash"))
		raise(SIGSEGV);
	if (does(fake, "nonsense"))
		loop_send(fake->loop, PROCMSG_IDENTITY, "x", 1);
	if (does(fake, "spin")) {
		(void)busy_enter("spinning");
		for (;;)
			pause();
	}
}

static int
fake_main(struct child_start *start, bool is_worker)
{
	struct fake fake = {.is_worker = is_worker,
	    .slot = start->slot,
	    .config = start->config};
	struct timeval at_once = {0};
	behaviour_read(&fake);
	int code = 78;
	if (!does(&fake, "exit-78")) {
		log_info(
		    "start: slot %d, configuration %llu, first %d, others %d",
		    start->slot, (unsigned long long)start->generation,
		    start->first, start->other_count);
		fake.loop = loop_new(start, &callbacks, &fake);
		event_base_once(loop_base(fake.loop), -1, EV_TIMEOUT, on_start,
		    &fake, &at_once);
		code = loop_run(fake.loop);
		loop_free(fake.loop);
	}
	config_free(fake.config);
	for (int i = 0; i < start->other_count; i++)
		scoreboard_free(start->others[i]);
	free(start->others);
	scoreboard_free(start->scoreboard);
	return code;
}

int
worker_main(struct child_start *start)
{
	return fake_main(start, true);
}

int
scheduler_main(struct child_start *start)
{
	return fake_main(start, false);
}
