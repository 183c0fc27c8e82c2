#include "daemon/handlers/memory_watch.h"

#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "common/busy.h"
#include "common/cgroup.h"
#include "common/children.h"
#include "common/clock.h"
#include "common/start_time.h"
#include "daemon/handlers/adopted.h"

enum {
	LOOK_MS = 250,
	BUDGET_US = 4000, /* of a look */
	MEMBERS = 1024,
};

/* The processes of a group; those beyond MEMBERS are not seen. */
struct members {
	pid_t pids[MEMBERS];
	size_t count;
};

static TAILQ_HEAD(, memory_watch) watches = TAILQ_HEAD_INITIALIZER(watches);
static int watch_count;
static struct event *timer;

static void
look_again(void)
{
	event_add(timer, &(struct timeval){.tv_usec = LOOK_MS * 1000});
}

/* A file of a process, as a string; "" when it has ended. */
static void
read_file(pid_t pid, const char *name, char *buffer, size_t size)
{
	char path[64];
	ssize_t length;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? 0 : read(fd, buffer, size - 1);
	if (fd >= 0)
		close(fd);
	buffer[length > 0 ? length : 0] = '\0';
}

/* Pages of its own that are in memory, and those it shares with others. */
static int64_t
resident_bytes(pid_t pid)
{
	char text[128];
	long long pages = 0;

	read_file(pid, "statm", text, sizeof(text));
	if (sscanf(text, "%*s %lld", &pages) != 1)
		return 0;
	return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

/* A page that n processes share counts one n-th for each. Takes the kernel a
 * walk through all its pages; refused: as above. */
static int64_t
exact_bytes(pid_t pid)
{
	char text[2048];
	const char *line;

	read_file(pid, "smaps_rollup", text, sizeof(text));
	line = strstr(text, "\nPss:");
	if (line == NULL)
		return resident_bytes(pid);
	return (int64_t)strtoll(line + strlen("\nPss:"), NULL, 10) * 1024;
}

static int64_t
sum(const struct members *members, int64_t (*bytes_of)(pid_t pid))
{
	int64_t bytes = 0;

	for (size_t i = 0; i < members->count; i++)
		bytes += bytes_of(members->pids[i]);
	return bytes;
}

static void
add_member(struct members *members, pid_t pid)
{
	if (members->count < MEMBERS)
		members->pids[members->count++] = pid;
}

/* What is below the members from `first` on becomes members, too. */
static void
add_below(struct members *members, size_t first)
{
	for (size_t i = first; i < members->count; i++) {
		pid_t *children = children_of(members->pids[i]);

		for (const pid_t *child = children; *child != 0; child++)
			add_member(members, *child);
		free(children);
	}
}

static void
gather_cgroup(struct members *members, const char *folder)
{
	pid_t *pids = cgroup_processes(folder);

	for (const pid_t *pid = pids; *pid != 0; pid++)
		add_member(members, *pid);
	free(pids);
}

/* Orphans are ours; `orphans` are the children of this process. */
static void
gather(struct members *members, const struct memory_watch *watch,
    const pid_t *orphans)
{
	pid_t leader = watch->leader;

	members->count = 0;
	if (watch->cgroup != NULL) {
		gather_cgroup(members, watch->cgroup);
		return;
	}
	add_member(members, leader);
	add_below(members, 0);
	for (; *orphans != 0; orphans++) {
		size_t first = members->count;

		if (*orphans == leader || getpgid(*orphans) != leader)
			continue;
		add_member(members, *orphans);
		add_below(members, first);
	}
}

static void
look_at(struct memory_watch *watch, const pid_t *orphans)
{
	static struct members members;
	int64_t held;

	gather(&members, watch, orphans);
	if (sum(&members, resident_bytes) <= watch->limit_bytes)
		return;
	held = sum(&members, exact_bytes);
	if (held > watch->limit_bytes)
		watch->on_over(watch, held);
}

static void
on_timer(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what, (void)argument;
	struct busy busy = busy_enter("looking at handlers' memory");
	struct mono began = mono_now();
	pid_t *children = children_of(getpid());
	int left = watch_count;

	while (left-- > 0 && mono_us_between(began, mono_now()) < BUDGET_US) {
		struct memory_watch *watch = TAILQ_FIRST(&watches);

		TAILQ_REMOVE(&watches, watch, link);
		TAILQ_INSERT_TAIL(&watches, watch, link);
		look_at(watch, children);
	}
	free(children);
	if (watch_count > 0)
		look_again();
	busy_leave(busy);
}

void
memory_watch_begin(struct memory_watch *watch, struct event_base *base)
{
	TAILQ_INSERT_TAIL(&watches, watch, link);
	if (watch_count++ > 0)
		return;
	timer = evtimer_new(base, on_timer, NULL);
	if (timer == NULL)
		abort();
	look_again();
}

void
memory_watch_end(struct memory_watch *watch)
{
	if (watch->limit_bytes == 0)
		return;
	TAILQ_REMOVE(&watches, watch, link);
	watch->limit_bytes = 0;
	if (--watch_count > 0)
		return;
	event_free(timer);
	timer = NULL;
}

/* The pidfd is opened before the process is asked when it began, so that what
 * got its number since is not hit. */
static void
kill_below(pid_t leader, pid_t pid, uint64_t began)
{
	int pidfd = pidfd_open(pid, 0);

	if (pidfd < 0)
		return;
	if (pid != leader && began != 0 && process_start_time(pid) == began)
		(void)pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
	close(pidfd);
}

void
memory_watch_kill(const struct memory_watch *watch)
{
	static struct members members;
	static uint64_t began[MEMBERS];
	pid_t *children = children_of(getpid());

	gather(&members, watch, children);
	free(children);
	for (size_t i = 0; i < members.count; i++)
		began[i] = process_start_time(members.pids[i]);
	for (size_t i = 0; i < members.count; i++)
		kill_below(watch->leader, members.pids[i], began[i]);
	(void)kill(-watch->leader, SIGKILL);
}
