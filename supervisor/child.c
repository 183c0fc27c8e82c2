#include "supervisor/child.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/child.h"
#include "common/config.h"
#include "common/log.h"
#include "common/scoreboard.h"
#include "supervisor/child_end.h"
#include "supervisor/child_message.h"
#include "supervisor/generation.h"
#include "supervisor/lock.h"
#include "supervisor/place.h"
#include "supervisor/process.h"
#include "supervisor/reaper.h"
#include "supervisor/supervisor.h"

enum { ABORT_MS = 1000, ENDING_MS = 5000, KILL_MARGIN_MS = 200, KEYS = 2048 };

static const char *const state_names[] = {
    [CHILD_STARTING] = "starting",
    [CHILD_RUNNING] = "running",
    [CHILD_DRAINING] = "draining",
    [CHILD_ENDING] = "draining",
    [CHILD_ABORTING] = "hung",
    [CHILD_KILLING] = "killed",
};

const char *
child_state_name(const struct child *child)
{
	if (child->state == CHILD_RUNNING &&
	    scoreboard_state(child->board) == SCOREBOARD_DATABASE_AWAY)
		return "database away";
	return state_names[child->state];
}

bool
child_has_loop(const struct child *child)
{
	return child->state == CHILD_STARTING ||
	       child->state == CHILD_RUNNING || child->state == CHILD_DRAINING;
}

int
child_tasks(const struct child *child)
{
	int count = 0;
	for (int i = 0; i < SCOREBOARD_SLOTS; i++) {
		struct scoreboard_slot slot;
		bool torn;
		count += scoreboard_slot(child->board, i, &slot, &torn);
	}
	return count;
}

/* States and their time limits. */

static void
limit_set(struct child *child, int64_t ms)
{
	struct timeval limit = {
	    .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	event_add(child->limit, &limit);
}

static void
state_set(struct child *child, enum child_state state)
{
	assert(state > child->state || state == CHILD_DRAINING);
	child->state = state;
}

static void
on_limit(evutil_socket_t fd, short what, void *argument)
{
	struct child *child = argument;
	(void)fd;
	(void)what;
	assert(child->magic == CHILD_MAGIC);
	log_warning("%s (pid %d) is not gone in time (%s); killing it",
	    child->name, (int)child->pid, state_names[child->state]);
	child_kill(child);
}

void
child_kill(struct child *child)
{
	if (child->state == CHILD_KILLING)
		return;
	state_set(child, CHILD_KILLING);
	event_del(child->limit);
	(void)kill(child->pid, SIGKILL); /* not reaped yet: it is the one */
}

void
child_abort(struct child *child)
{
	if (child->state >= CHILD_ABORTING)
		return;
	child->hung = true;
	state_set(child, CHILD_ABORTING);
	(void)kill(child->pid, SIGABRT);
	(void)kill(child->pid, SIGCONT); /* a stopped one dies of it at once */
	limit_set(child, ABORT_MS);
}

void
child_ending(struct child *child)
{
	if (child->state >= CHILD_ENDING)
		return;
	state_set(child, CHILD_ENDING);
	limit_set(child, ENDING_MS);
}

void
child_drain(struct child *child, int64_t cancel_ms, int64_t gone_ms)
{
	int64_t limits[] = {cancel_ms, gone_ms};
	child->asked = true;
	if (child->state > CHILD_DRAINING)
		return;
	state_set(child, CHILD_DRAINING);
	child_send(child, PROCMSG_DRAIN, limits, sizeof limits, -1);
	if (gone_ms < PROCMSG_NO_LIMIT_MS)
		limit_set(child, gone_ms + KILL_MARGIN_MS);
}

void
child_send(struct child *child, enum procmsg_type type, const void *body,
    size_t size, int fd)
{
	int result = procmsg_send(
	    child->channel, type, child->generation->number, body, size, fd);
	if (result != 0 && result != -EPIPE)
		log_warning("cannot reach %s (pid %d): %s", child->name,
		    (int)child->pid, strerror(-result));
}

/* The boards of workers whose tasks another one has to reckon with. */
struct boards {
	const struct child *whose; /* the other one */
	int *fds;		   /* owned */
	int count;
};

static void
board_add(struct child *child, void *argument)
{
	struct boards *boards = argument;
	const struct place *place = child->place;
	if (place->role != ROLE_WORKER || child == boards->whose ||
	    child == place->coming)
		return;
	boards->fds = reallocarray(
	    boards->fds, (size_t)boards->count + 1, sizeof *boards->fds);
	if (!boards->fds)
		abort();
	boards->fds[boards->count++] = scoreboard_fd(child->board);
}

static void
boards_collect(struct boards *boards)
{
	if (boards->whose->place->role == ROLE_WORKER)
		places_each(boards->whose->supervisor, board_add, boards);
}

void
child_reconfigure(struct child *child, struct generation *generation)
{
	struct boards boards = {.whose = child};
	generation_use(generation);
	generation_drop(child->generation);
	child->generation = generation;
	boards_collect(&boards);
	for (int i = 0; i < boards.count; i++)
		child_send(child, PROCMSG_BOARD, NULL, 0, boards.fds[i]);
	free(boards.fds);
	child_send(child, PROCMSG_CONFIG, NULL, 0, generation->fd);
}

/* Starting. */

static void
key_mark(struct child *child, void *used)
{
	if (child->key >= 0)
		((bool *)used)[child->key] = true;
}

/* The lowest number that no living worker has. */
static int
key_free(struct supervisor *supervisor)
{
	bool used[KEYS] = {false};
	int key = 0;
	places_each(supervisor, key_mark, used);
	while (key < KEYS - 1 && used[key])
		key++;
	return key;
}

static void
name_set(struct child *child)
{
	if (child->place->role == ROLE_SCHEDULER)
		snprintf(child->name, sizeof child->name, "scheduler");
	else
		snprintf(child->name, sizeof child->name, "worker %d",
		    child->place->slot);
}

static pid_t
process_of(
    struct child *child, const struct boards *boards, int channel, int lock)
{
	char slot[32], generation[48], others[32];
	const char *argv[7] = {"musterd"};
	int count = 1;
	if (child->place->role == ROLE_SCHEDULER) {
		argv[count++] = "--role=scheduler";
	} else {
		snprintf(slot, sizeof slot, "--slot=%d", child->place->slot);
		snprintf(others, sizeof others, "--others=%d", boards->count);
		argv[count++] = "--role=worker";
		argv[count++] = slot;
		argv[count++] = others;
	}
	snprintf(generation, sizeof generation, "--generation=%llu",
	    (unsigned long long)child->generation->number);
	argv[count++] = generation;
	if (child->place->role == ROLE_SCHEDULER && !child->place->worked)
		argv[count++] = "--first";
	struct process_plan plan = {.argv = argv,
	    .fds = {channel, scoreboard_fd(child->board), child->generation->fd,
		child->wake_fd, lock},
	    .more = boards->fds,
	    .more_count = boards->count};
	return process_start(&plan);
}

/* Everything but the process; false with errno when something is short. */
static bool
equip(struct child *child)
{
	child->board = scoreboard_new();
	if (!child->board)
		return false;
	if (child->place->role == ROLE_SCHEDULER)
		return true;
	child->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return child->wake_fd >= 0;
}

static bool
launch(struct child *child)
{
	struct boards boards = {.whose = child};
	int fds[2];
	int lock = lock_for_child(child->generation->config->runtime_dir);
	int result = lock < 0 ? lock : procmsg_pair(fds);
	if (result >= 0) {
		boards_collect(&boards);
		child->pid = process_of(child, &boards, fds[1], lock);
		free(boards.fds);
		result = child->pid < 0 ? (int)child->pid : 0;
		close(fds[1]);
		if (result < 0)
			close(fds[0]);
	}
	if (lock >= 0)
		close(lock);
	if (result < 0) {
		errno = -result;
		return false;
	}
	child->channel = procmsg_channel_new(child->supervisor->base, fds[0],
	    child_on_message, child_on_channel_end, child);
	return true;
}

static struct child *
child_new(struct place *place, struct generation *generation)
{
	struct child *child = calloc(1, sizeof *child);
	if (!child)
		abort();
	child->magic = CHILD_MAGIC;
	child->supervisor = place->supervisor;
	child->place = place;
	child->generation = generation_use(generation);
	child->taken = generation->number;
	child->wake_fd = -1;
	child->key = -1;
	child->started = mono_now();
	name_set(child);
	child->limit = evtimer_new(place->supervisor->base, on_limit, child);
	if (!child->limit)
		abort();
	return child;
}

struct child *
child_free(struct child *child)
{
	assert(child->magic == CHILD_MAGIC);
	event_free(child->limit);
	procmsg_channel_free(child->channel);
	scoreboard_free(child->board);
	if (child->wake_fd >= 0)
		close(child->wake_fd);
	generation_drop(child->generation);
	child->magic = 0;
	free(child);
	return NULL;
}

struct child *
child_start(struct place *place, struct generation *generation)
{
	struct supervisor *supervisor = place->supervisor;
	struct child *child = child_new(place, generation);
	if (!equip(child) || !launch(child)) {
		log_error("cannot start %s: %s", child->name, strerror(errno));
		return child_free(child);
	}
	reaper_watch(supervisor->reaper, child->pid, child_on_end, child);
	if (place->role == ROLE_WORKER)
		child->key = key_free(supervisor);
	if (supervisor->log_level != 0)
		child_send(child, PROCMSG_LOG_LEVEL, &supervisor->log_level,
		    sizeof supervisor->log_level, -1);
	child_introduce(child);
	log_debug("%s started (pid %d, configuration %llu)", child->name,
	    (int)child->pid, (unsigned long long)generation->number);
	return child;
}
