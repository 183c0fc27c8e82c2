#include "daemon/worker/drain.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>

#include "common/busy.h"
#include "common/log.h"
#include "common/text.h"
#include "daemon/worker/host.h"
#include "daemon/worker/length.h"
#include "daemon/worker/worker.h"

enum { EXIT_NOT_TOLD = 75, IDS_IN_A_LINE = 50 };

static void on_timer(evutil_socket_t fd, short what, void *argument);

void
worker_drain_open(struct worker *worker)
{
	worker->drain.timer = evtimer_new(worker->base, on_timer, worker);
}

void
worker_drain_close(struct worker *worker)
{
	event_free(worker->drain.timer);
}

bool
worker_drain_is_on(const struct worker *worker)
{
	return worker->drain.state != DRAIN_NOT;
}

static void
arm(struct worker *worker, struct mono at)
{
	int64_t ms = mono_ms_between(mono_now(), at);
	struct timeval after = {0};

	if (ms > 0)
		after = (struct timeval){
		    .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	event_add(worker->drain.timer, &after);
}

void
worker_drain_begin(struct worker *worker, int64_t cancel_ms, int64_t gone_ms)
{
	struct drain *drain = &worker->drain;
	struct mono now = mono_now();
	bool first = drain->state == DRAIN_NOT;

	if (drain->state >= DRAIN_LEAVING)
		return;
	if (!first &&
	    mono_us_between(drain->cancel_at, mono_add_ms(now, cancel_ms)) > 0)
		return; /* limits only get shorter */
	drain->cancel_at = mono_add_ms(now, cancel_ms);
	drain->gone_at = mono_add_ms(now, gone_ms);
	if (first) {
		drain->state = DRAIN_RUNNING_OUT;
		scoreboard_set_state(worker->board, SCOREBOARD_DRAINING);
		log_debug("draining, %zu tasks held", worker->table.count);
		run_give_back(worker);
		(void)host_drain(worker);
	}
	arm(worker, drain->cancel_at);
	turn_kick(worker);
}

void
worker_drain_orphaned(struct worker *worker)
{
	int64_t limit = worker->config->shutdown_timeout_ms;
	int64_t grace = worker->config->defaults.grace_ms;

	if (grace > 5000)
		grace = 5000;
	worker_drain_begin(worker, limit > grace ? limit - grace : 0, limit);
}

/* The handlers' grace ends early enough for a last turn. */
static void
cancel_all(struct worker *worker)
{
	struct drain *drain = &worker->drain;
	int64_t left =
	    mono_ms_between(mono_now(), drain->gone_at) - DRAIN_MARGIN_MS;
	struct running *running, *next;

	drain->state = DRAIN_CANCELLING;
	for (running = TAILQ_FIRST(&worker->started); running != NULL;
	     running = next) {
		int64_t grace = running->task.grace_ms;

		next = TAILQ_NEXT(running, link);
		if (grace > left)
			grace = left > 0 ? left : 0;
		run_cancel(worker, running, CANCEL_SHUTDOWN, grace);
	}
}

/* Whoever holds leases, or may hold them, does not end with 0: the supervisor
 * then has them rescued. */
static void
finish(struct worker *worker, uint32_t unrecorded)
{
	struct procmsg_drained drained = {.unrecorded = unrecorded};
	bool clean = worker->member.left || !worker->member.registered;

	worker->drain.state = DRAIN_OVER;
	event_del(worker->drain.timer);
	if (worker->member.left)
		announce_down(worker);
	heartbeat_end(worker);
	loop_send(worker->loop, PROCMSG_DRAINED, &drained, sizeof(drained));
	loop_stop(worker->loop, clean ? 0 : EXIT_NOT_TOLD);
}

static uint32_t
list_ids(const struct running_list *list, struct text *ids)
{
	const struct running *running;
	uint32_t count = 0;

	TAILQ_FOREACH(running, list, link)
	{
		if (running->finish.outcome == 'b')
			continue;
		if (count++ % IDS_IN_A_LINE == 0 && ids->length > 0) {
			log_write(LOG_LEVEL_ERROR, LOG_UNRECORDED, NULL,
			    "ended and not recorded, the database is away: "
			    "tasks%s",
			    text_string(ids));
			text_clear(ids);
		}
		text_addf(ids, " %" PRId64, running->task.id);
	}
	return count;
}

/* Time is up: what PostgreSQL was not told is listed, to be found there. */
static void
give_up(struct worker *worker)
{
	struct text ids = TEXT_EMPTY;
	uint32_t count = list_ids(&worker->sent, &ids);

	count += list_ids(&worker->finished, &ids);
	if (worker->run.slots > 0)
		log_warning("%d tasks did not end in time", worker->run.slots);
	if (ids.length > 0)
		log_write(LOG_LEVEL_ERROR, LOG_UNRECORDED, NULL,
		    "ended and not recorded, the database is away: tasks%s",
		    text_string(&ids));
	text_free(&ids);
	finish(worker, count);
}

/* No task is held, and PostgreSQL has been told of all. */
static bool
owes_nothing(const struct worker *worker)
{
	return worker->table.count == 0 && TAILQ_EMPTY(&worker->started) &&
	       worker->turn.state != TURN_UNDER_WAY && !worker->turn.unanswered;
}

static void
leave(struct worker *worker)
{
	struct drain *drain = &worker->drain;

	drain->state = DRAIN_LEAVING;
	arm(worker, mono_add_ms(mono_now(), DRAIN_LEAVE_MS));
	length_tell(worker);
	if (member_is_in(worker))
		member_leave(worker);
	else
		finish(worker, 0);
}

void
worker_drain_check(struct worker *worker)
{
	enum drain_state state = worker->drain.state;

	if (state == DRAIN_NOT || state >= DRAIN_LEAVING)
		return;
	if (owes_nothing(worker) && host_drain(worker) == 0)
		leave(worker);
}

void
worker_drain_left(struct worker *worker)
{
	if (worker->drain.state == DRAIN_LEAVING)
		finish(worker, 0);
}

static void
on_timer(evutil_socket_t fd, short what, void *argument)
{
	struct worker *worker = argument;
	struct drain *drain = &worker->drain;
	struct busy busy = busy_enter("drain");

	(void)fd, (void)what;
	switch (drain->state) {
	case DRAIN_RUNNING_OUT:
		cancel_all(worker);
		arm(worker, mono_add_ms(drain->gone_at, -DRAIN_MARGIN_MS / 2));
		turn_kick(worker);
		break;
	case DRAIN_CANCELLING:
		if (owes_nothing(worker))
			leave(worker); /* what handlers keep ends with us */
		else
			give_up(worker);
		break;
	case DRAIN_LEAVING:
		finish(worker, 0);
		break;
	default:
		break;
	}
	busy_leave(busy);
}
