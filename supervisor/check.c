#include "supervisor/check.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/config_check.h"
#include "supervisor/process.h"
#include "supervisor/reaper.h"

struct check {
	pid_t pid;
	int fd; /* memfd that the answer is written to */
	struct event *limit;
	check_cb *on_verdict; /* NULL: cancelled */
	void *argument;
};

static void
check_free(struct check *check)
{
	event_free(check->limit);
	close(check->fd);
	free(check);
}

static void
verdict(struct check *check)
{
	struct config_errors errors = {0};
	struct text blob = TEXT_EMPTY;
	struct config *config = config_answer_read(check->fd, &blob, &errors);
	check->on_verdict(config, &blob, &errors, check->argument);
	text_free(&blob);
	config_errors_free(&errors);
}

static void
on_end(const siginfo_t *info, void *argument)
{
	struct check *check = argument;
	(void)info; /* a process that died has left no whole answer */
	if (check->on_verdict)
		verdict(check);
	check_free(check);
}

static void
on_limit(evutil_socket_t fd, short what, void *argument)
{
	struct check *check = argument;
	(void)fd;
	(void)what;
	(void)kill(check->pid, SIGKILL); /* not reaped yet: it is the one */
}

static pid_t
start(const char *file, int answer)
{
	const char *argv[] = {
	    "musterd", "--role=config-check", "-c", file, NULL};
	struct process_plan plan = {
	    .argv = argv, .fds = {answer, -1, -1, -1, -1}};
	return process_start(&plan);
}

struct check *
check_start(struct event_base *base, struct reaper *reaper, const char *file,
    int64_t limit_ms, check_cb *on_verdict, void *argument)
{
	int fd = memfd_create("musterd-answer", MFD_CLOEXEC);
	if (fd < 0)
		return NULL;
	pid_t pid = start(file, fd);
	if (pid < 0) {
		close(fd);
		errno = (int)-pid;
		return NULL;
	}
	struct check *check = calloc(1, sizeof *check);
	if (!check || !(check->limit = evtimer_new(base, on_limit, check)))
		abort();
	check->pid = pid;
	check->fd = fd;
	check->on_verdict = on_verdict;
	check->argument = argument;
	struct timeval limit = {
	    .tv_sec = limit_ms / 1000, .tv_usec = limit_ms % 1000 * 1000};
	event_add(check->limit, &limit);
	reaper_watch(reaper, pid, on_end, check);
	return check;
}

struct check *
check_cancel(struct check *check)
{
	if (!check)
		return NULL;
	check->on_verdict = NULL;
	(void)kill(check->pid, SIGKILL);
	return NULL;
}

int
check_role_main(const char *file)
{
	return config_check_main(file, PROCESS_FD_FIRST);
}
