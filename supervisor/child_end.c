#include "supervisor/child_end.h"

#include <assert.h>
#include <stdio.h>

#include "common/log.h"
#include "common/scoreboard.h"
#include "supervisor/child.h"
#include "supervisor/child_message.h"
#include "supervisor/deaths.h"
#include "supervisor/place.h"
#include "supervisor/reaper.h"
#include "supervisor/subtree.h"
#include "supervisor/supervisor.h"
#include "supervisor/words.h"

/* It ended as it should: told PostgreSQL all, left, and said so. */
static bool
is_clean(const struct child *child, const siginfo_t *info)
{
	return child->drained && child->unrecorded == 0 &&
	       info->si_code == CLD_EXITED && info->si_status == 0;
}

/* Nobody had told it to end, or it ended otherwise: not by itself, nor killed
 * by us because its time was up. */
static bool
is_crash(const struct child *child, const siginfo_t *info)
{
	if (!child->asked || child->hung)
		return true;
	return info->si_code != CLD_EXITED && child->state != CHILD_KILLING;
}

static int64_t
worker_of(const struct child *child)
{
	int64_t worker_id = scoreboard_worker(child->board);
	return worker_id > 0 ? worker_id : child->worker_id;
}

static void
report(struct child *child, const siginfo_t *info)
{
	struct supervisor *supervisor = child->supervisor;
	struct procmsg_death death = {.worker_id = worker_of(child),
	    .pid = child->pid,
	    .crashed = is_crash(child, info)};
	if (death.worker_id == 0)
		return; /* never registered: it holds nothing */
	char words[WORDS_SIZE];
	words_of_end(info, words);
	if (info->si_code == CLD_EXITED)
		death.status = info->si_status;
	else
		death.signal = info->si_status;
	snprintf(death.cause, sizeof death.cause, "%s", words);
	uint64_t number = deaths_add(supervisor->deaths, &death, child->board);
	struct child *scheduler = supervisor->scheduler.serving;
	if (scheduler && scheduler->worked)
		deaths_send(supervisor->deaths, number, scheduler->channel);
}

/*
 * In this order: the last words, which may say that all is well; the groups,
 * while their leaders' pids cannot be anybody else's; the report, from a board
 * that nobody writes any more.
 */
void
child_on_end(const siginfo_t *info, void *argument)
{
	struct child *child = argument;
	struct supervisor *supervisor = child->supervisor;
	assert(child->magic == CHILD_MAGIC);
	procmsg_channel_finish(child->channel);
	(void)reaper_kill_groups(child->board); /* the reaper tells of them */
	if (child->place->role == ROLE_WORKER && !is_clean(child, info))
		report(child, info);
	place_child_gone(child->place, child, info);
	scoreboard_retire(child->board); /* its successor may look at it */
	if (child->place->role == ROLE_WORKER)
		child_withdraw(child);
	(void)child_free(child);
	subtree_sweep(supervisor); /* who left its process group, too */
	supervisor_wake(supervisor);
}
