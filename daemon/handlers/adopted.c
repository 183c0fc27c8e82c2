#include "daemon/handlers/adopted.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "common/busy.h"

enum { SOON_MS = 5, SELDOM_MS = 1000 };

static LIST_HEAD(, own_child) own = LIST_HEAD_INITIALIZER(own);
static struct event *timer;
static int users, pause_ms;

static void
look_after(int ms)
{
	struct timeval pause = {
	    .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	pause_ms = ms;
	event_add(timer, &pause);
}

static struct own_child *
own_find(pid_t pid)
{
	struct own_child *child;

	LIST_FOREACH(child, &own, link)
	if (child->pid == pid)
		return child;
	return NULL;
}

/* Reaps all that have ended; false: there is no child left at all. */
static bool
sweep(void)
{
	for (;;) {
		siginfo_t info = {0};
		struct own_child *child;
		id_t pid;

		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
			return false;
		if (info.si_pid == 0)
			return true;
		pid = (id_t)info.si_pid;
		child = own_find(info.si_pid);
		if (child != NULL) /* it hides those behind it */
			child->on_end(child);
		else
			(void)waitid(P_PID, pid, &info, WEXITED | WNOHANG);
	}
}

static void
on_timer(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what, (void)argument;
	struct busy busy = busy_enter("reaping adopted processes");
	int next = pause_ms * 2 < SELDOM_MS ? pause_ms * 2 : SELDOM_MS;
	bool some = sweep();

	if (timer != NULL && some)
		look_after(next);
	busy_leave(busy);
}

void
adopted_open(struct event_base *base)
{
	if (users++ > 0)
		return;
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1); /* fails on no kernel of ours */
	timer = evtimer_new(base, on_timer, NULL);
	if (timer == NULL)
		abort();
}

void
adopted_close(void)
{
	assert(users > 0);
	if (--users > 0)
		return;
	event_free(timer);
	timer = NULL;
}

void
adopted_own(struct own_child *child)
{
	LIST_INSERT_HEAD(&own, child, link);
	if (!evtimer_pending(timer, NULL))
		look_after(SELDOM_MS);
}

void
adopted_disown(struct own_child *child, bool left)
{
	LIST_REMOVE(child, link);
	if (left)
		look_after(SOON_MS);
}
