#include "daemon/worker/run.h"

#include <event2/event.h>
#include <inttypes.h>
#include <string.h>

#include "common/busy.h"
#include "common/log.h"
#include "daemon/worker/claim.h"
#include "daemon/worker/run_parts.h"
#include "daemon/worker/verdict.h"
#include "daemon/worker/worker.h"

static void on_stuck(evutil_socket_t fd, short what, void *argument);

void
run_open(struct worker *worker)
{
	TAILQ_INIT(&worker->run.backlog);
	TAILQ_INIT(&worker->run.chains);
	worker->run.stuck = evtimer_new(worker->base, on_stuck, worker);
}

void
run_close(struct worker *worker)
{
	event_free(worker->run.stuck);
}

void
run_watch_for_stuck(struct worker *worker)
{
	struct timeval after = {.tv_usec = RUN_STUCK_MS * 1000};

	if (!evtimer_pending(worker->run.stuck, NULL))
		event_add(worker->run.stuck, &after);
}

void
run_enter_backlog(struct worker *worker, struct running *running)
{
	struct route *route = running->route;

	running->claimed = mono_lately();
	running->stuck_ms = run_stuck_ms(worker, route);
	running->shares = route->shares;
	if (!share_is_brief(route->shares.kind, worker->turn.us))
		running->shares.longer = route->shares.queue->longer;
	share_set_claimed(&running->shares);
	share_set_told(&running->shares, running->expect_us);
	running->state = RUNNING_BACKLOG;
	backlog_add(&worker->run.backlog, running);
}

void
run_claimed(struct worker *worker, struct running *running)
{
	running_table_add(&worker->table, running);
	if (running->route != NULL)
		run_enter_backlog(worker, running);
	else
		run_give_back_one(worker, running);
}

static void
describe(struct worker *worker, struct running *running)
{
	const struct task_defaults *limits = &running->binding->config->limits;
	struct task *task = &running->task;

	task->worker = worker->member.id;
	task->kind = running->shares.kind->name;
	task->queue = running->shares.queue->name;
	task->payload = running->payload;
	task->inputs = running->inputs;
	task->timeout_ms = running->own_timeout_ms > 0 ? running->own_timeout_ms
						       : limits->timeout_ms;
	task->grace_ms = limits->grace_ms;
	task->started = mono_now();
}

void
run_start(struct worker *worker, struct running *running)
{
	const struct binding *binding = running->binding;

	running->state = RUNNING_STARTED;
	TAILQ_INSERT_TAIL(&worker->started, running, link);
	describe(worker, running);
	running->task.scoreboard_slot = scoreboard_task_begin(worker->board,
	    running->task.id, running->task.queue, running->task.kind);
	worker->run.starting = running;
	if (!binding->ops->begins_later)
		announce_started(worker, running);
	binding->ops->start(binding->handler, &running->task);
	if (worker->run.starting == running && /* its outcome is to come */
	    !binding->ops->begins_later)
		time_limit_start(worker, running);
	worker->run.starting = NULL;
}

void
run_begun(struct task *task, void *argument)
{
	struct running *running = running_of(task);

	task->started = mono_now();
	if (running->limit.us == 0 && !running->cancelled)
		time_limit_start(argument, running);
	announce_started(argument, running);
}

void
run_give_back_one(struct worker *worker, struct running *running)
{
	struct finish back = {.outcome = 'b'};

	run_refuse(worker, running, &back);
}

static void
leave_for_slot(struct worker *worker, struct running *running)
{
	backlog_remove(&worker->run.backlog, running);
	worker->run.slots++;
	running->slot_at = mono_now();
	share_set_untold(&running->shares, running->expect_us);
	share_set_started(&running->shares, running->slot_at);
	if (running->expect_us > 0)
		share_set_expect(&running->shares);
	running->binding = running->route->binding;
	worker_generation_hold(running->binding);
	if (mono_ms_between(running->claimed, running->slot_at) <
	    RUN_STUCK_MS / 2)
		claim_resume(running->route);
	if (fetch_is_needed(running)) {
		running->state = RUNNING_FETCHING;
		TAILQ_INSERT_TAIL(&worker->fetching, running, link);
		fetch_next(worker);
	} else {
		run_start(worker, running);
	}
}

/* Its last attempt was charged when it killed the worker that ran it. */
static bool
is_used_up(const struct running *running)
{
	int most = running->max_attempts > 0
		       ? running->max_attempts
		       : running->route->binding->config->limits.max_attempts;

	return running->task.rescues > 0 && running->task.attempt > most;
}

static void
refuse_used_up(struct worker *worker, struct running *running)
{
	struct finish failed = {0};

	verdict_fail(&failed, "its last attempt ended with its worker");
	log_warning("task %" PRId64 " failed: its last attempt ended with "
		    "its worker",
	    running->task.id);
	run_refuse(worker, running, &failed);
}

/* The next of the backlog gets a slot, or leaves otherwise. */
static void
start_one(struct worker *worker, struct running *running)
{
	if (running->route->binding == NULL)
		run_give_back_one(worker, running);
	else if (is_used_up(running))
		refuse_used_up(worker, running);
	else
		leave_for_slot(worker, running);
}

void
run_backlog(struct worker *worker)
{
	struct mono began = mono_now();
	struct running *next;

	while (worker->run.slots < SCOREBOARD_SLOTS &&
	       (next = backlog_next(&worker->run.backlog)) != NULL) {
		start_one(worker, next);
		if (mono_us_between(began, mono_now()) > RUN_SLICE_US) {
			turn_kick(worker);
			break;
		}
	}
	if (!TAILQ_EMPTY(&worker->run.backlog))
		run_watch_for_stuck(worker);
}

/* To give a task back takes one turn here and one elsewhere, and costs it its
 * place in the line: it pays only when it should have started long ago. */
int64_t
run_stuck_ms(const struct worker *worker, const struct route *route)
{
	int64_t late_ms =
	    2 * share_horizon_us(route->shares.kind, worker->turn.us) / 1000;

	return late_ms > RUN_STUCK_MS ? late_ms : RUN_STUCK_MS;
}

/* No slot of it came free for long: another worker may have one. */
static void
look_at_route(struct worker *worker, struct route *route, struct mono now)
{
	struct running *first = backlog_oldest(&worker->run.backlog, route);
	int64_t waits_ms;

	if (first == NULL || share_set_can_start(&first->shares))
		return;
	waits_ms = mono_ms_between(first->claimed, now);
	if (waits_ms < first->stuck_ms ||
	    waits_ms < run_stuck_ms(worker, route))
		return;
	for (; first != NULL;
	     first = backlog_oldest(&worker->run.backlog, route))
		run_give_back_one(worker, first);
	claim_pause(route, now);
}

static void
on_stuck(evutil_socket_t fd, short what, void *argument)
{
	struct worker *worker = argument;
	struct mono now = mono_now();

	(void)fd, (void)what;
	for (int i = 0; i < worker->routes.count; i++)
		look_at_route(worker, worker->routes.items[i], now);
	run_look_at_chains(worker, now);
	if (!TAILQ_EMPTY(&worker->run.backlog) ||
	    !TAILQ_EMPTY(&worker->run.chains))
		run_watch_for_stuck(worker);
}

void
run_give_back(struct worker *worker)
{
	struct backlog_lane *lane;
	struct running *running;

	run_give_back_followers(worker);
	while ((lane = TAILQ_FIRST(&worker->run.backlog)) != NULL)
		run_give_back_one(worker, TAILQ_FIRST(&lane->tasks));
	while ((running = TAILQ_FIRST(&worker->fetching)) != NULL)
		run_give_back_one(worker, running);
}
