#include "daemon/handlers/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/start_time.h"
#include "common/text.h"

enum {
	STACK_SIZE = 64 << 10,
	GUARD_SIZE = 4 << 10,
	SETUP_FAILED = 127,
	LOOK_AT_SIGNALS_MS = 1000, /* at most that often */
	KERNEL_SET_BYTES = (NSIG - 1) / 8,
};

/* What the two sides share while the starter is suspended. */
struct shared {
	const struct spawn *spawn;
	pid_t parent;
	uint64_t changed_signals; /* a bit each, from signal 1 */
	struct timespec began;	  /* the child's */
	enum spawn_step step;	  /* the child's: what it is about to do */
	int error;		  /* the child's: why it gave up */
};

/* Between clone and execve the child runs in the parent's memory: only
 * async-signal-safe calls, and no frame that the sanitizer would mark. */
#define IN_CHILD __attribute__((no_sanitize("address")))

/* Handlers of the parent must not run here, ignored signals not stay so. The
 * system call itself, for libc keeps its hands over two signals that whoever
 * started us may have ignored. All zero means default and no flags. */
IN_CHILD static void
reset_signals(uint64_t changed)
{
	struct sigaction plain = {0};

	for (int number = 1; number < NSIG; number++)
		if ((changed >> (number - 1) & 1) != 0)
			(void)syscall(SYS_rt_sigaction, number, &plain, NULL,
			    KERNEL_SET_BYTES);
}

/* A handler dies before its worker when memory runs out. It may not be
 * allowed here, and is not worth a failure. */
IN_CHILD static void
adjust_oom_score(const char *score)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	ssize_t written;

	if (fd < 0)
		return;
	written = write(fd, score, strlen(score));
	(void)written;
	close(fd);
}

IN_CHILD static int
set_limits(const struct spawn_limits *limits)
{
	adjust_oom_score(limits->oom_score_adj);
	for (int i = 0; i < limits->count; i++)
		if (setrlimit((__rlimit_resource_t)limits->rlimits[i].resource,
			&limits->rlimits[i].limit) < 0)
			return -1;
	if (limits->umask >= 0)
		(void)umask((mode_t)limits->umask);
	if (limits->nice > 0)
		(void)setpriority(PRIO_PROCESS, 0,
		    getpriority(PRIO_PROCESS, 0) + limits->nice);
	return 0;
}

IN_CHILD static int
set_up(const struct shared *shared)
{
	const struct spawn *spawn = shared->spawn;

	if (spawn->cgroup > 0 && write(spawn->cgroup, "0", 1) < 0)
		return -1;
	if (setpgid(0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -1;
	if (getppid() != shared->parent) { /* it ended before the prctl */
		errno = ESRCH;
		return -1;
	}
	if (dup2(spawn->input, 0) < 0 || dup2(spawn->output, 1) < 0 ||
	    dup2(spawn->errors, 2) < 0)
		return -1;
	if (spawn->socket >= 0 && dup2(spawn->socket, 3) < 0)
		return -1;
	if (close_range(spawn->socket >= 0 ? 4 : 3, ~0U, 0) < 0)
		return -1;
	return set_limits(spawn->limits);
}

IN_CHILD static int
child_main(void *argument)
{
	struct shared *shared = argument;
	const struct spawn *spawn = shared->spawn;
	sigset_t none;

	clock_gettime(CLOCK_BOOTTIME, &shared->began);
	reset_signals(shared->changed_signals);
	if (set_up(shared) == 0) {
		shared->step = SPAWN_DIRECTORY;
		if (chdir(spawn->directory) == 0) {
			shared->step = SPAWN_PROGRAM;
			sigemptyset(&none);
			sigprocmask(SIG_SETMASK, &none, NULL);
			execve(spawn->program, spawn->argv, spawn->envp);
		}
	}
	shared->error = errno;
	_exit(SETUP_FAILED);
}

/* The child's stack, below it a page that nobody may touch; kept. */
static char *
stack_top(void)
{
	static char *stack;
	void *memory;

	if (stack == NULL) {
		memory =
		    mmap(NULL, GUARD_SIZE + STACK_SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
		if (memory == MAP_FAILED)
			return NULL;
		(void)mprotect(memory, GUARD_SIZE, PROT_NONE);
		stack = memory;
	}
	return stack + GUARD_SIZE + STACK_SIZE;
}

/* Signals that are not as by default. To ask for each of them costs as much as
 * all else that happens between clone and execve, and they hardly ever change:
 * at most a plugin does that. */
static uint64_t
changed_signals(void)
{
	static uint64_t changed;
	static struct mono looked_at;
	struct mono now = mono_now();
	struct sigaction action = {0};

	if (looked_at.us != 0 &&
	    mono_ms_between(looked_at, now) < LOOK_AT_SIGNALS_MS)
		return changed;
	looked_at = now;
	changed = 0;
	for (int number = 1; number < NSIG; number++)
		if (syscall(SYS_rt_sigaction, number, NULL, &action,
			KERNEL_SET_BYTES) == 0 &&
		    action.sa_handler != SIG_DFL)
			changed |= (uint64_t)1 << (number - 1);
	return changed;
}

/* The unit of /proc/PID/stat. */
static uint64_t
ticks(const struct timespec *since_boot)
{
	long ticks_per_s = sysconf(_SC_CLK_TCK);

	return (uint64_t)since_boot->tv_sec * (uint64_t)ticks_per_s +
	       (uint64_t)since_boot->tv_nsec /
		   (uint64_t)(1000000000 / ticks_per_s);
}

/* The start was in the tick in which clone was called, unless another one
 * began before the child ran; then the kernel has to be asked. */
static uint64_t
start_time(
    const struct timespec *before, const struct timespec *after, pid_t pid)
{
	return ticks(before) == ticks(after) ? ticks(before)
					     : process_start_time(pid);
}

/* It has let go of our memory, so it is in the last lines of its exit. */
static void
reap_failed(const struct spawned *spawned)
{
	id_t pid = (id_t)spawned->pid;
	siginfo_t info = {0};

	while (waitid(P_PID, pid, &info, WEXITED | WNOHANG) == 0 &&
	       info.si_pid == 0)
		sched_yield();
	close(spawned->pidfd);
}

int
spawn_start(const struct spawn *spawn, struct spawned *ret_spawned,
    enum spawn_step *ret_failed)
{
	struct shared shared = {.spawn = spawn,
	    .parent = getpid(),
	    .changed_signals = changed_signals()};
	struct spawned spawned = {.pidfd = -1};
	char *stack = stack_top();
	struct timespec before;
	sigset_t all, old;
	int error;

	*ret_failed = SPAWN_PROCESS;
	if (stack == NULL)
		return -ENOMEM;
	clock_gettime(CLOCK_BOOTTIME, &before);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	spawned.pid = clone(child_main, stack,
	    CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &shared,
	    &spawned.pidfd);
	error = spawned.pid < 0 ? errno : shared.error;
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (error != 0) {
		*ret_failed = shared.step;
		if (spawned.pid > 0)
			reap_failed(&spawned);
		return -error;
	}
	spawned.start_time = start_time(&before, &shared.began, spawned.pid);
	*ret_spawned = spawned;
	return 0;
}

char *
spawn_find(const char *name, const char *path)
{
	if (strchr(name, '/') != NULL)
		return strdup(name);
	while (*path != '\0') {
		struct text candidate = TEXT_EMPTY;
		size_t length = strcspn(path, ":");

		text_add(&candidate, path, length);
		text_addf(&candidate, "%s%s", length > 0 ? "/" : "./", name);
		if (access(text_string(&candidate), X_OK) == 0)
			return text_steal(&candidate);
		text_free(&candidate);
		path += length + (path[length] == ':');
	}
	return NULL;
}
