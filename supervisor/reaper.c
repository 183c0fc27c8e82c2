#include "supervisor/reaper.h"

#include <event2/event.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/scoreboard.h"
#include "common/start_time.h"
#include "common/children.h"

enum { REAPED_A_TURN = 256, AGAIN_MS = 50 };

struct watch {
	struct watch *next;
	pid_t pid;
	reaper_cb *on_end;
	void *argument;
};

struct reaper {
	struct event *sigchld, *again;
	struct watch *watches;
	pid_t *before; /* children that are none of ours; owned */
	size_t before_count;
	int orphans; /* seen alive at the last look */
	int killed;  /* orphans since there was none */
	void (*on_clean)(void *argument);
	void *argument;
};

/* Calls `see` for every child of this process. */
static void
children_each(
    void (*see)(struct reaper *reaper, pid_t pid), struct reaper *reaper)
{
	pid_t *children = children_of(getpid());
	for (const pid_t *child = children; *child; child++)
		see(reaper, *child);
	free(children);
}

static void
remember(struct reaper *reaper, pid_t pid)
{
	pid_t *before =
	    reallocarray(reaper->before, reaper->before_count + 1, sizeof pid);
	if (!before)
		abort();
	before[reaper->before_count++] = pid;
	reaper->before = before;
}

static bool
was_before(const struct reaper *reaper, pid_t pid)
{
	for (size_t i = 0; i < reaper->before_count; i++)
		if (reaper->before[i] == pid)
			return true;
	return false;
}

static struct watch **
watch_find(struct reaper *reaper, pid_t pid)
{
	struct watch **place = &reaper->watches;
	while (*place && (*place)->pid != pid)
		place = &(*place)->next;
	return place;
}

void
reaper_watch(
    struct reaper *reaper, pid_t pid, reaper_cb *on_end, void *argument)
{
	struct watch *watch = calloc(1, sizeof *watch);
	if (!watch)
		abort();
	*watch = (struct watch){reaper->watches, pid, on_end, argument};
	reaper->watches = watch;
}

/* Orphans. */

bool
reaper_is_clean(const struct reaper *reaper)
{
	return !reaper->watches && reaper->orphans == 0;
}

static void
orphan_kill(struct reaper *reaper, pid_t pid)
{
	if (*watch_find(reaper, pid) || was_before(reaper, pid))
		return;
	reaper->orphans++;
	(void)kill(pid, SIGKILL); /* a child of ours: it is the right one */
}

/* Those that are killed hand their own children over to us: look again until
 * there is none. */
static void
orphans_kill(struct reaper *reaper)
{
	struct timeval again = {.tv_usec = AGAIN_MS * 1000};
	reaper->orphans = 0;
	children_each(orphan_kill, reaper);
	if (reaper->orphans > 0) {
		event_add(reaper->again, &again);
		return;
	}
	if (reaper->killed > 0)
		log_info("ended %d handler process%s whose worker is gone",
		    reaper->killed, reaper->killed == 1 ? "" : "es");
	reaper->killed = 0;
	if (reaper_is_clean(reaper))
		reaper->on_clean(reaper->argument);
}

/* Reaping. */

static void
watched_end(struct watch **place, const siginfo_t *info)
{
	struct watch *watch = *place;
	watch->on_end(info, watch->argument);
	siginfo_t reaped;
	(void)waitid(P_PID, (id_t)watch->pid, &reaped, WEXITED | WNOHANG);
}

static void
watch_drop(struct reaper *reaper, pid_t pid)
{
	struct watch **place = watch_find(reaper, pid);
	struct watch *watch = *place;
	*place = watch->next;
	free(watch);
}

/* The end of one process; false when none has ended. */
static bool
reap_one(struct reaper *reaper)
{
	siginfo_t info = {.si_pid = 0};
	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
	    info.si_pid == 0)
		return false;
	struct watch **place = watch_find(reaper, info.si_pid);
	if (*place) {
		watched_end(place, &info);
		watch_drop(reaper, info.si_pid);
		return true;
	}
	if (!was_before(reaper, info.si_pid))
		reaper->killed++;
	(void)waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
	return true;
}

static void
on_children(evutil_socket_t fd, short what, void *argument)
{
	struct reaper *reaper = argument;
	struct timeval at_once = {0};
	int left = REAPED_A_TURN;
	(void)fd;
	(void)what;
	while (left > 0 && reap_one(reaper))
		left--;
	if (left == 0)
		event_add(reaper->again, &at_once);
	else
		orphans_kill(reaper);
}

/* Whether the group was still that of the process which began then. */
static bool
group_kill(pid_t group, uint64_t start)
{
	return process_start_time(group) == start &&
	       killpg(group, SIGKILL) == 0;
}

int
reaper_kill_groups(const struct scoreboard *board)
{
	int killed = 0;
	for (int i = 0; i < SCOREBOARD_GROUPS; i++) {
		struct scoreboard_group entry;
		if (scoreboard_group(board, i, &entry))
			killed += group_kill(entry.group, entry.start);
	}
	for (int i = 0; i < SCOREBOARD_SLOTS; i++) {
		struct scoreboard_slot slot;
		bool torn;
		if (!scoreboard_slot(board, i, &slot, &torn) || slot.group < 2)
			continue;
		killed += group_kill(slot.group, slot.group_start);
	}
	return killed;
}

struct reaper *
reaper_new(
    struct event_base *base, void (*on_clean)(void *argument), void *argument)
{
	struct reaper *reaper = calloc(1, sizeof *reaper);
	if (!reaper)
		abort();
	reaper->on_clean = on_clean;
	reaper->argument = argument;
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* since Linux 3.4 */
	children_each(remember, reaper);
	reaper->sigchld = evsignal_new(base, SIGCHLD, on_children, reaper);
	reaper->again = evtimer_new(base, on_children, reaper);
	if (!reaper->sigchld || !reaper->again)
		abort();
	event_add(reaper->sigchld, NULL);
	return reaper;
}

struct reaper *
reaper_free(struct reaper *reaper)
{
	if (!reaper)
		return NULL;
	event_free(reaper->sigchld);
	event_free(reaper->again);
	while (reaper->watches)
		watch_drop(reaper, reaper->watches->pid);
	free(reaper->before);
	free(reaper);
	return NULL;
}
