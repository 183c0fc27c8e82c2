#include "supervisor/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static bool
is_for_us(const char *variable)
{
	static const char *const names[] = {"NOTIFY_SOCKET=", "WATCHDOG_",
	    "LISTEN_", "FDSTORE=", "MAINPID=", "MANAGERPID="};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strncmp(variable, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

/* A copy of our own without those; the strings stay shared. */
static char **
environment_new(void)
{
	size_t count = 0, kept = 0;
	while (environ[count])
		count++;
	char **copy = calloc(count + 1, sizeof *copy);
	if (!copy)
		abort();
	for (size_t i = 0; i < count; i++)
		if (!is_for_us(environ[i]))
			copy[kept++] = environ[i];
	return copy;
}

/* From here to exec only what is safe after fork in a program with threads. */

static void
signals_set(void)
{
	static const int ignored[] = {
	    SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE};
	struct sigaction action = {.sa_handler = SIG_DFL};
	for (int number = 1; number < NSIG; number++)
		(void)sigaction(number, &action, NULL); /* not KILL, STOP */
	action.sa_handler = SIG_IGN;
	for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
		(void)sigaction(ignored[i], &action, NULL);
	sigset_t none;
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

__attribute__((noreturn)) static void
become(const struct process_plan *plan, const int *high, int count,
    char **environment)
{
	signals_set();
	for (int i = 0; i < count; i++)
		if (high[i] < 0)
			(void)close(PROCESS_FD_FIRST + i);
		else if (dup2(high[i], PROCESS_FD_FIRST + i) < 0)
			_exit(126);
	(void)close_range((unsigned)(PROCESS_FD_FIRST + count), ~0u, 0);
	execve("/proc/self/exe", (char *const *)(uintptr_t)plan->argv,
	    environment);
	_exit(127);
}

static pid_t
fork_and_become(const struct process_plan *plan, const int *high, int count)
{
	sigset_t all, before;
	char **environment = environment_new();
	sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	pid_t pid = fork();
	int saved = errno;
	if (pid == 0)
		become(plan, high, count, environment);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	free(environment);
	return pid < 0 ? -saved : pid;
}

static int
fd_of(const struct process_plan *plan, int index)
{
	return index < PROCESS_FDS ? plan->fds[index]
				   : plan->more[index - PROCESS_FDS];
}

pid_t
process_start(const struct process_plan *plan)
{
	int count = PROCESS_FDS + plan->more_count, failed = 0;
	int *high = calloc((size_t)count, sizeof *high);
	if (!high)
		abort();
	for (int i = 0; i < count; i++) {
		/* clear of every number that is dup2'ed to */
		high[i] = fd_of(plan, i);
		if (high[i] >= 0)
			high[i] = fcntl(
			    high[i], F_DUPFD_CLOEXEC, PROCESS_FD_FIRST + count);
		if (high[i] < 0 && fd_of(plan, i) >= 0)
			failed = errno;
	}
	pid_t pid = failed ? -failed : fork_and_become(plan, high, count);
	for (int i = 0; i < count; i++)
		if (high[i] >= 0)
			close(high[i]);
	free(high);
	return pid;
}
