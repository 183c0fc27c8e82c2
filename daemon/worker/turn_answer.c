#include "daemon/worker/turn_answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "daemon/worker/row.h"
#include "daemon/worker/statements.h"
#include "daemon/worker/turn_refused.h"
#include "daemon/worker/worker.h"

enum { TURN_HELD_UP = 8 }; /* times as long as turns were: it waited */

static const double EXPECT_MAX_MS = 1e12; /* 30 years: nobody said so */

static void
count_recorded(struct worker *worker, char outcome)
{
	static const struct {
		char outcome;
		enum scoreboard_counter counter;
	} counters[] = {
	    {'s', SCOREBOARD_SUCCEEDED},
	    {'f', SCOREBOARD_FAILED},
	    {'r', SCOREBOARD_RETRIED},
	    {'u', SCOREBOARD_RETRIED},
	    {'b', SCOREBOARD_RELEASED},
	};

	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		if (counters[i].outcome == outcome)
			scoreboard_count(worker->board, counters[i].counter, 1);
}

/* What was sent is recorded now, but for the fenced ones, which are gone from
 * the list already. */
static void
forget_sent(struct worker *worker)
{
	struct running *running;
	struct mono now = mono_now();

	while ((running = TAILQ_FIRST(&worker->sent)) != NULL) {
		announce_recorded(worker, running, now);
		count_recorded(worker, running->finish.outcome);
		run_forget(worker, running);
	}
}

static void
fenced(struct worker *worker, const PGresult *result, int row)
{
	int64_t id = row_int(result, row, TURN_TASK);
	struct running *running = running_table_find(&worker->table, id);
	struct log_context context = {.task = id};

	if (running == NULL || running->state != RUNNING_SENT)
		return;
	if (!running->maybe_recorded && running->finish.outcome != 'b') {
		scoreboard_count(worker->board, SCOREBOARD_FENCED, 1);
		log_write(LOG_LEVEL_WARNING, LOG_PLAIN, &context,
		    "task %" PRId64 " is fenced: it was taken from this "
		    "worker, and its outcome counts for nothing",
		    id);
	}
	run_forget(worker, running);
}

static void
keep_payload(struct worker *worker, struct running *running,
    const PGresult *result, int row)
{
	const struct binding *binding = running->route->binding;
	size_t size;

	running->no_payload = true;
	running->large = PQgetisnull(result, row, TURN_PAYLOAD);
	if (running->large)
		return;
	if (binding != NULL && binding->ops->ignores_payload)
		return;
	size = (size_t)PQgetlength(result, row, TURN_PAYLOAD);
	running->payload = malloc(size + 1);
	if (running->payload == NULL)
		abort();
	memcpy(
	    running->payload, PQgetvalue(result, row, TURN_PAYLOAD), size + 1);
	running->task.payload_size = size;
	running->no_payload = false;
	worker->held_bytes += size;
}

/* Those of all that wait are added up. */
static int64_t
expect_of(const PGresult *result, int row)
{
	double ms = strtod(PQgetvalue(result, row, TURN_EXPECT_MS), NULL);

	return ms < EXPECT_MAX_MS ? (int64_t)(ms * 1000) : 0;
}

static struct running *
take_over(struct worker *worker, int64_t id, int64_t lease)
{
	struct running *running = running_table_find(&worker->table, id);

	if (running != NULL) {
		log_warning("task %" PRId64 " was claimed twice, forgetting "
			    "the first claim",
		    id);
		run_fenced(worker, running);
	}
	return running_new(id, lease);
}

/* What a row tells of the task itself; its route is known. */
static void
read_task(struct worker *worker, struct running *running,
    const PGresult *result, int row)
{
	running->task.flow = row_int(result, row, TURN_FLOW);
	running->task.attempt = (int)row_int(result, row, TURN_ATTEMPT);
	running->task.rescues = (int)row_int(result, row, TURN_RESCUES);
	running->snoozes = (int)row_int(result, row, TURN_SNOOZES);
	running->max_attempts = (int)row_int(result, row, TURN_MAX_ATTEMPTS);
	running->own_timeout_ms = row_int(result, row, TURN_TIMEOUT_MS);
	running->expect_us = expect_of(result, row);
	running->has_needs = row_bool(result, row, TURN_HAS_NEEDS);
	if (running->route != NULL)
		keep_payload(worker, running, result, row);
}

/* What a turn found. */
struct found {
	int claimed, followed, fenced;
	int unread; /* of those that follow: their rows are still to come */
	bool dead;
};

/* Their rows come without what they share with the first. */
static void
follow(struct worker *worker, struct running *first, const char *ids,
    struct found *found)
{
	int64_t id;

	while (row_next_int(&ids, &id)) {
		struct running *running =
		    take_over(worker, id, first->task.lease);

		running->route = first->route;
		running->urgency = first->urgency;
		if (running->route != NULL)
			running->route->followed++;
		run_follow(worker, running, first);
		found->followed++;
		found->unread += running->state == RUNNING_FOLLOWING;
	}
}

static void
claimed(
    struct worker *worker, const PGresult *result, int row, struct found *found)
{
	struct running *running = take_over(worker,
	    row_int(result, row, TURN_TASK), row_int(result, row, TURN_LEASE));

	running->route =
	    route_find(&worker->routes, (int)row_int(result, row, TURN_ROUTE));
	running->urgency = PQgetisnull(result, row, TURN_SEQ)
			       ? BACKLOG_URGENCY
			       : row_int(result, row, TURN_SEQ);
	read_task(worker, running, result, row);
	if (running->route != NULL)
		running->route->got++;
	run_claimed(worker, running);
	found->claimed++;
	follow(worker, running, PQgetvalue(result, row, TURN_FOLLOWERS), found);
}

static void
read_follower(
    struct worker *worker, const PGresult *result, int row, struct found *found)
{
	struct running *running =
	    running_table_find(&worker->table, row_int(result, row, TURN_TASK));

	if (running == NULL || running->state != RUNNING_FOLLOWING ||
	    running->task.attempt > 0)
		return;
	read_task(worker, running, result, row);
	found->unread--;
}

static void
new_floor(struct worker *worker, const PGresult *result, int row)
{
	struct floor floor = {
	    .route = (int32_t)row_int(result, row, TURN_ROUTE),
	    .rank = (int32_t)row_int(result, row, TURN_RANK),
	    .lane = (int32_t)row_int(result, row, TURN_LANE),
	    .seq = row_int(result, row, TURN_SEQ),
	};

	floors_set(&worker->turn.floors, &floor);
}

static void
cancel_asked(struct worker *worker, const PGresult *result, int row)
{
	struct running *running =
	    running_table_find(&worker->table, row_int(result, row, TURN_TASK));

	if (running != NULL)
		run_cancel(worker, running, CANCEL_ASKED, -1);
}

/* The finishes first: a task that was put back may be claimed again by the
 * same turn. */
static struct found
settle(struct worker *worker, const PGresult *result)
{
	struct found found = {0};

	for (int row = 0; row < PQntuples(result); row++) {
		char what = PQgetvalue(result, row, TURN_WHAT)[0];

		if (what == 'd') {
			found.dead = true;
			return found;
		}
		if (what == 'f') {
			fenced(worker, result, row);
			found.fenced++;
		}
	}
	forget_sent(worker);
	return found;
}

/* Those that follow are named by the first of them. */
static void
take_in_first(
    struct worker *worker, const PGresult *result, int row, struct found *found)
{
	switch (PQgetvalue(result, row, TURN_WHAT)[0]) {
	case 'c':
		claimed(worker, result, row, found);
		break;
	case 'l':
		new_floor(worker, result, row);
		break;
	default:
		break;
	}
}

static void
take_in_last(
    struct worker *worker, const PGresult *result, int row, struct found *found)
{
	switch (PQgetvalue(result, row, TURN_WHAT)[0]) {
	case 'n':
		read_follower(worker, result, row, found);
		break;
	case 'x':
		cancel_asked(worker, result, row);
		break;
	default:
		break;
	}
}

static void
take_in(struct worker *worker, const PGresult *result, struct found *found)
{
	for (int row = 0; row < PQntuples(result); row++)
		take_in_first(worker, result, row, found);
	for (int row = 0; row < PQntuples(result); row++)
		take_in_last(worker, result, row, found);
	if (found->unread > 0)
		run_give_back_unread(worker);
	scoreboard_count(worker->board, SCOREBOARD_CLAIMED,
	    (uint64_t)found->claimed + (uint64_t)found->followed);
}

static enum sleeper_found
sleeper_sees(const struct worker *worker, const struct found *found)
{
	const struct claim *claim = &worker->turn.claim;

	if (claim->max == 0 && budget_sleeps(worker))
		return SLEEPER_NOTHING;
	if (claim->max == 0 || found->fenced > 0 ||
	    found->claimed >= claim->max)
		return SLEEPER_ENOUGH;
	return found->claimed == 0 ? SLEEPER_NOTHING : SLEEPER_SOME;
}

/* When is the next turn, if nothing happens before? */
static void
rest(struct worker *worker, enum sleeper_found found)
{
	struct turn *turn = &worker->turn;
	int64_t ms = worker->config->poll_interval_ms;

	switch (sleeper_turn(&turn->sleeper, found, mono_now())) {
	case SLEEPER_REGISTER:
		member_sleep(worker);
		turn_ask(worker);
		break;
	case SLEEPER_REMOVE:
		member_wake(worker);
		break;
	case SLEEPER_BRIDGE:
		ms = SLEEPER_BRIDGE_MS;
		break;
	case SLEEPER_STAY:
		if (turn->sleeper.registered && ms > SLEEPER_FULL_MS &&
		    found == SLEEPER_ENOUGH)
			ms = SLEEPER_FULL_MS; /* is it still full then? */
		break;
	}
	turn_timer(worker, ms);
}

/* One that was held up says little of those to come. */
static void
learn_length(struct turn *turn, int64_t us)
{
	if (us > turn->us * TURN_HELD_UP)
		us = turn->us * TURN_HELD_UP;
	turn->us += (us - turn->us) / 4;
}

static void
on_warm(PGresult *result, void *argument)
{
	struct worker *worker = argument;

	worker->turn.state = TURN_RESTING;
	if (result != NULL && PQresultStatus(result) != PGRES_TUPLES_OK)
		log_warning(
		    "the session was not warmed up: %s", pg_message(result));
	turn_kick(worker);
}

/* The first time that there is nothing to do: turns in which the server has to
 * plan their statements would take it many times as long. It stands for a turn
 * under way, so the next is made up when it has ended. */
static void
warm_up(struct worker *worker)
{
	struct turn *turn = &worker->turn;
	char id[24];
	const char *values[] = {id};

	if (turn->warm)
		return;
	turn->warm = true;
	snprintf(id, sizeof(id), "%" PRId64, worker->member.id);
	if (pg_send(worker->pg, &statement_warm_up, values, on_warm, worker) ==
	    0)
		turn->state = TURN_UNDER_WAY;
}

static void
answered(struct worker *worker, const PGresult *result)
{
	struct turn *turn = &worker->turn;
	struct mono now = mono_now();
	size_t told = turn->batch.count;
	struct found found;

	if (!turn->looking)
		learn_length(turn, mono_us_between(turn->sent_at, now));
	backoff_reset(&turn->backoff);
	scoreboard_count(worker->board, SCOREBOARD_TURNS, 1);
	found = settle(worker, result);
	if (found.dead) {
		member_dead(worker);
		return;
	}
	if (turn->looking) {
		take_in(worker, result, &found);
		turn_kick(worker);
		return;
	}
	bisect_taken(&turn->bisect, told);
	take_in(worker, result, &found);
	pace_turn(&turn->pace, (int)told + found.claimed + found.followed, now);
	claim_learn(
	    &turn->claim, &worker->routes, found.claimed, found.fenced > 0);
	if (worker_drain_is_on(worker))
		run_give_back(worker);
	else
		rest(worker, sleeper_sees(worker, &found));
	if (told == 0 && found.claimed == 0)
		warm_up(worker);
	turn_kick(worker);
}

void
turn_on_answer(PGresult *result, void *argument)
{
	struct worker *worker = argument;

	if (result == NULL) {
		worker->turn.state = TURN_RESTING;
		worker->turn.unanswered = true;
		return;
	}
	worker->turn.state = TURN_RESTING;
	if (PQresultStatus(result) == PGRES_TUPLES_OK)
		answered(worker, result);
	else
		turn_refused(worker, result);
}
