#include "daemon/worker/turn.h"

#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "common/busy.h"
#include "common/log.h"
#include "daemon/worker/statements.h"
#include "daemon/worker/turn_answer.h"
#include "daemon/worker/worker.h"

enum {
	NUMBER_SIZE = 24,
	LOOK_LEAST = 20, /* tasks held: with fewer a turn is quick anyway */
};

static void on_pump(evutil_socket_t fd, short what, void *argument);
static void on_timer(evutil_socket_t fd, short what, void *argument);

void
turn_open(struct worker *worker)
{
	struct turn *turn = &worker->turn;

	turn->pump = event_new(worker->base, -1, 0, on_pump, worker);
	turn->timer = evtimer_new(worker->base, on_timer, worker);
	turn->pace = pace_new(mono_now());
	turn->backoff = (struct backoff){.first_ms = 50, .max_ms = 5000};
	turn->us = 2000;
}

void
turn_close(struct worker *worker)
{
	struct turn *turn = &worker->turn;

	event_free(turn->pump);
	event_free(turn->timer);
	batch_free(&turn->batch);
	claim_free(&turn->claim);
	floors_forget(&turn->floors);
}

void
turn_kick(struct worker *worker)
{
	event_active(worker->turn.pump, 0, 0);
}

void
turn_ask(struct worker *worker)
{
	worker->turn.asked = true;
	turn_kick(worker);
}

void
turn_look(struct worker *worker)
{
	struct turn *turn = &worker->turn;

	turn->look = worker->table.count >= LOOK_LEAST &&
		     !bisect_is_searching(&turn->bisect);
	turn_ask(worker);
}

void
turn_sweep(struct worker *worker)
{
	worker->turn.sweep = true;
}

void
turn_timer(struct worker *worker, int64_t ms)
{
	struct timeval after = {
	    .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	event_add(worker->turn.timer, &after);
}

void
turn_lost(struct worker *worker)
{
	struct turn *turn = &worker->turn;

	turn->state = TURN_RESTING;
	turn->tiny = turn->warm = false;
	pace_go(&turn->pace);
	event_del(turn->timer);
	floors_forget(&turn->floors);
	sleeper_forget(&turn->sleeper);
}

void
turn_unsend(struct worker *worker)
{
	struct running *running;

	while ((running = TAILQ_LAST(&worker->sent, running_list)) != NULL) {
		TAILQ_REMOVE(&worker->sent, running, link);
		TAILQ_INSERT_HEAD(&worker->finished, running, link);
		running->state = RUNNING_FINISHED;
		worker->finished_count++;
		worker->finished_presses = true;
	}
}

/* Moves as many finishes as go with one turn to the list of what is sent. */
static void
fill_batch(struct worker *worker)
{
	struct turn *turn = &worker->turn;
	struct running *running;

	batch_start(&turn->batch);
	while ((running = TAILQ_FIRST(&worker->finished)) != NULL &&
	       !batch_is_full(&turn->batch)) {
		if (turn->bisect.limit != 0 &&
		    turn->batch.count >= turn->bisect.limit)
			break;
		batch_add(&turn->batch, running);
		TAILQ_REMOVE(&worker->finished, running, link);
		TAILQ_INSERT_TAIL(&worker->sent, running, link);
		running->state = RUNNING_SENT;
		worker->finished_count--;
	}
	batch_end(&turn->batch);
	worker->finished_flow &= worker->finished_count > 0;
	worker->finished_presses &= worker->finished_count > 0;
}

static struct claim_facts
facts_of(const struct worker *worker)
{
	return (struct claim_facts){.routes = &worker->routes,
	    .queues = &worker->queues,
	    .floors = &worker->turn.floors,
	    .held_bytes = worker->held_bytes,
	    .finished = worker->finished_count,
	    .ended_flow = worker->finished_flow,
	    .turn_us = worker->turn.us,
	    .now = mono_now()};
}

static void
plan_claim(struct worker *worker)
{
	struct turn *turn = &worker->turn;
	struct claim_facts facts = facts_of(worker);

	if (turn->sweep || mono_ms_between(turn->swept, facts.now) >=
			       worker->config->poll_interval_ms) {
		floors_forget(&turn->floors);
		turn->sweep = false;
		turn->swept = facts.now;
	}
	if (worker_drain_is_on(worker) || bisect_is_searching(&turn->bisect))
		claim_nothing(&turn->claim, &worker->routes);
	else
		claim_plan(&turn->claim, &facts);
}

static void
send_turn(struct worker *worker)
{
	struct turn *turn = &worker->turn;
	char id[NUMBER_SIZE], max[NUMBER_SIZE], max_bytes[NUMBER_SIZE];
	const char *values[TURN_PARAMETERS] = {
	    [TURN_WORKER] = id,
	    [TURN_LEASES] = turn->batch.lease.data,
	    [TURN_TASKS] = turn->batch.task.data,
	    [TURN_OUTCOMES] = text_string(&turn->batch.outcome),
	    [TURN_RAN_MS] = turn->batch.ran.text.data,
	    [TURN_DELAY_MS] = turn->batch.delay.text.data,
	    [TURN_RESULTS] = turn->batch.result.text.data,
	    [TURN_ERRORS] = turn->batch.error.text.data,
	    [TURN_ROUTES] = turn->claim.routes.data,
	    [TURN_WANTS] = turn->claim.wants.data,
	    [TURN_MAX] = max,
	    [TURN_MAX_BYTES] = max_bytes,
	    [TURN_FLOOR_ROUTES] = turn->claim.floor_routes.data,
	    [TURN_FLOOR_RANKS] = turn->claim.floor_ranks.data,
	    [TURN_FLOOR_LANES] = turn->claim.floor_lanes.data,
	    [TURN_FLOOR_SEQS] = turn->claim.floor_seqs.data,
	    [TURN_CHAINS] =
		turn->claim.followers > 0 ? turn->claim.chains.data : NULL,
	};

	snprintf(id, sizeof(id), "%lld", (long long)worker->member.id);
	snprintf(
	    max, sizeof(max), "%d", turn->claim.max + turn->claim.followers);
	snprintf(max_bytes, sizeof(max_bytes), "%lld",
	    (long long)turn->claim.max_bytes);
	turn->asked = false;
	turn->tiny = false;
	pace_go(&turn->pace);
	turn->sent_at = mono_now();
	turn->state = TURN_UNDER_WAY;
	event_del(turn->timer);
	if (pg_send(worker->pg, &statement_turn, values, turn_on_answer,
		worker) < 0) {
		turn->state = TURN_RESTING;
		turn_unsend(worker);
	}
}

static void
wait_for_company(struct worker *worker, int ms)
{
	if (pace_hold(&worker->turn.pace, ms, mono_now()))
		turn_timer(worker, ms);
}

/* What there is to do waits a little for more when tiny turns are too many. */
static bool
should_wait(struct worker *worker, int tasks)
{
	struct turn *turn = &worker->turn;
	int ms;

	if (turn->tiny)
		return tasks < PACE_TINY;
	ms = pace_wait_ms(&turn->pace, tasks, mono_now());
	turn->tiny = ms > 0;
	if (turn->tiny)
		wait_for_company(worker, ms);
	return turn->tiny;
}

/* The same when there is enough to do, whatever the turns. */
static bool
can_wait(struct worker *worker)
{
	struct claim_facts facts = facts_of(worker);
	int ms;

	if (worker->finished_count >= BATCH_MAX)
		return false;
	ms = claim_wait_ms(&facts);
	if (ms > 0 && worker->finished_count > 0)
		wait_for_company(worker, ms);
	return ms > 0;
}

/* Nothing is to be had, and what ended makes room for nothing but what runs
 * after it in its chain here. */
static bool
can_wait_for_chains(struct worker *worker)
{
	if (worker->turn.claim.eager > 0)
		return false;
	if (worker->finished_count == 0)
		return true;
	if (worker->finished_presses || worker->finished_count >= BATCH_MAX)
		return false;
	wait_for_company(
	    worker, worker->finished_flow ? PACE_FLOW_MS : PACE_SUPPLIED_MS);
	return true;
}

/* Tells and claims nothing, so it is back soon. The one that was due follows.
 */
static void
take_look(struct worker *worker)
{
	struct turn *turn = &worker->turn;

	turn->look = false;
	turn->looking = true;
	claim_nothing(&turn->claim, &worker->routes);
	batch_start(&turn->batch);
	batch_end(&turn->batch);
	send_turn(worker);
	turn->asked = true;
}

static void
take_turn(struct worker *worker)
{
	struct turn *turn = &worker->turn;
	int tasks;

	if (turn->state != TURN_RESTING || !member_is_in(worker))
		return;
	if (turn->look) {
		take_look(worker);
		return;
	}
	due_count(worker, mono_now());
	if (!turn->asked && can_wait(worker))
		return;
	turn->looking = false;
	plan_claim(worker);
	tasks = (int)worker->finished_count + turn->claim.eager;
	if (!turn->asked &&
	    (can_wait_for_chains(worker) || should_wait(worker, tasks)))
		return;
	if (tasks == 0 && turn->claim.max == 0 && budget_is_asking(worker))
		return; /* the answer brings us back here */
	fill_batch(worker);
	send_turn(worker);
}

static void
on_pump(evutil_socket_t fd, short what, void *argument)
{
	struct worker *worker = argument;
	struct busy busy = busy_enter("start tasks and turn");

	(void)fd, (void)what;
	worker_generation_sweep(&worker->generations, false);
	worker_look_at_capacity(worker);
	run_backlog(worker);
	fetch_next(worker);
	budget_look(worker);
	take_turn(worker);
	worker_drain_check(worker);
	busy_leave(busy);
}

static void
on_timer(evutil_socket_t fd, short what, void *argument)
{
	struct worker *worker = argument;
	struct turn *turn = &worker->turn;

	(void)fd, (void)what;
	if (turn->state == TURN_HOLDING)
		turn->state = TURN_RESTING;
	turn->asked = true;
	turn_kick(worker);
}
