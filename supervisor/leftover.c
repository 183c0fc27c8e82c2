#include "supervisor/leftover.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/child.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/scoreboard.h"
#include "common/children.h"

/* A process that is signalled by its pidfd, which was opened before anything
 * was read of it: what was read of another one hits nobody. */
struct pinned {
	int pidfd;
	pid_t parent;
	char state; /* as in /proc/PID/stat; Z: a zombie */
};

static bool
read_stat(pid_t pid, struct pinned *pinned)
{
	char path[48], text[512];
	int parent;
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t length = read(fd, text, sizeof text - 1);
	close(fd);
	text[length > 0 ? length : 0] = '\0';
	/* behind the name, which may hold anything */
	const char *rest = strrchr(text, ')');
	if (!rest || sscanf(rest, ") %c %d", &pinned->state, &parent) != 2)
		return false;
	pinned->parent = (pid_t)parent;
	return true;
}

static bool
pin(pid_t pid, struct pinned *ret_pinned)
{
	ret_pinned->pidfd = pidfd_open(pid, 0);
	if (ret_pinned->pidfd < 0)
		return false;
	if (read_stat(pid, ret_pinned))
		return true;
	close(ret_pinned->pidfd);
	return false;
}

static void
signal_pinned(const struct pinned *pinned, int number)
{
	(void)pidfd_send_signal(pinned->pidfd, number, NULL, 0);
}

/*
 * Kills the children of a process; returns how many lived. Theirs come to it
 * when they die, as it is a subreaper, and are met the next time; whoever left
 * its process group too.
 */
static int
kill_below(pid_t pid)
{
	int lived = 0;
	pid_t *children = children_of(pid);
	for (const pid_t *child = children; *child; child++) {
		struct pinned pinned;
		if (!pin(*child, &pinned))
			continue;
		if (pinned.parent == pid && pinned.state != 'Z') {
			signal_pinned(&pinned, SIGKILL);
			lived++;
		}
		close(pinned.pidfd);
	}
	free(children);
	return lived;
}

/* Stopped first: it is to start nothing more, and to report no end. */
static void
kill_whole(pid_t pid, const struct pinned *pinned)
{
	signal_pinned(pinned, SIGSTOP);
	if (kill_below(pid) > 0)
		return;
	log_write(LOG_LEVEL_WARNING, LOG_CHILD_HUNG, NULL,
	    "a process of an earlier musterd (pid %d) hangs or takes too long "
	    "to end; killing it",
	    (int)pid);
	signal_pinned(pinned, SIGKILL);
}

/* False, too, where there is no board that we understand. */
static bool
is_quiet(pid_t pid, int64_t quiet_ms)
{
	char path[48];
	snprintf(
	    path, sizeof path, "/proc/%d/fd/%d", (int)pid, CHILD_FD_SCOREBOARD);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return false;
	struct scoreboard *board = scoreboard_open(fd);
	if (!board) {
		close(fd);
		return false;
	}
	struct mono tick = {.us = scoreboard_tick_us(board)};
	scoreboard_free(board);
	return mono_ms_between(tick, mono_now()) >= quiet_ms;
}

static bool
holds(pid_t pid, const struct stat *lock)
{
	char path[48];
	struct stat held;
	snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, CHILD_FD_LOCK);
	return stat(path, &held) == 0 && held.st_dev == lock->st_dev &&
	       held.st_ino == lock->st_ino;
}

/* Whether `pid` was one of them. */
static bool
look_at(pid_t pid, const struct stat *lock, int64_t quiet_ms)
{
	struct pinned pinned;
	if (pid == getpid() || !holds(pid, lock) || !pin(pid, &pinned))
		return false;
	bool found = pinned.state != 'Z' && holds(pid, lock) &&
		     (quiet_ms == 0 || is_quiet(pid, quiet_ms));
	if (found)
		kill_whole(pid, &pinned);
	close(pinned.pidfd);
	return found;
}

int
leftover_kill(const char *runtime_dir, int64_t quiet_ms)
{
	char path[PATH_MAX];
	struct stat lock;
	int found = 0;
	int length =
	    snprintf(path, sizeof path, "%s/workers.lock", runtime_dir);
	if (length < 0 || (size_t)length >= sizeof path ||
	    stat(path, &lock) < 0)
		return 0;
	DIR *processes = opendir("/proc");
	struct dirent *entry;
	while (processes && (entry = readdir(processes))) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
		if (pid > 0)
			found += look_at(pid, &lock, quiet_ms);
	}
	if (processes)
		closedir(processes);
	return found;
}
