#include "daemon/worker/member.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "daemon/schema.h"
#include "daemon/worker/member_parts.h"
#include "daemon/worker/row.h"
#include "daemon/worker/statements.h"
#include "daemon/worker/worker.h"

enum { NUMBER_SIZE = 24, EXIT_SCHEMA = 78 };

bool
member_is_in(const struct worker *worker)
{
	return worker->member.state == MEMBER_IN;
}

void
member_send(struct worker *worker, const struct pg_statement *statement,
    const char *const *values, pg_result_cb *on_result)
{
	if (pg_send(worker->pg, statement, values, on_result, worker) < 0)
		log_debug("not connected: %s is not sent", statement->name);
}

void
member_set_state(struct worker *worker, enum member_state state)
{
	worker->member.state = state;
	if (worker_drain_is_on(worker))
		scoreboard_set_state(worker->board, SCOREBOARD_DRAINING);
	else if (state == MEMBER_IN)
		scoreboard_set_state(worker->board, SCOREBOARD_RUNNING);
	else
		scoreboard_set_state(worker->board, SCOREBOARD_DATABASE_AWAY);
}

void
member_retry_later(
    struct worker *worker, const char *what, const PGresult *result)
{
	struct timeval after = {.tv_sec = MEMBER_RETRY_MS / 1000};

	log_warning("%s failed, trying again: %s (SQLSTATE %s)", what,
	    pg_message(result), pg_sqlstate(result));
	event_add(worker->member.retry, &after);
}

void
member_entered(struct worker *worker)
{
	struct member *member = &worker->member;
	struct timeval beat = {.tv_sec = MEMBER_BEAT_MS / 1000};

	member->registered = true;
	member_set_state(worker, MEMBER_IN);
	announce_up(worker);
	event_add(member->beat, &beat);
	if (member->lost_logged)
		log_write(LOG_LEVEL_NOTICE, LOG_DATABASE_BACK, NULL,
		    "the database is back");
	member->lost_logged = false;
	budget_told(worker);
	if (!member->ready_sent)
		loop_send(worker->loop, PROCMSG_READY, NULL, 0);
	member->ready_sent = true;
	fetch_next(worker);
	turn_ask(worker);
}

/* Before it was ever ready a worker ends here; later it waits for better. */
static void
schema_unfit(struct worker *worker, const char *sentence)
{
	struct timeval after = {.tv_sec = MEMBER_RETRY_MS / 1000};

	log_error("%s", sentence);
	if (worker->member.ready_sent)
		event_add(worker->member.retry, &after);
	else
		loop_stop(worker->loop, EXIT_SCHEMA);
}

static void
on_schema(PGresult *result, void *argument)
{
	struct worker *worker = argument;
	const char *sentence;

	if (result == NULL)
		return;
	switch (schema_judge(result, &sentence)) {
	case SCHEMA_FITS:
		registration_start(worker);
		break;
	case SCHEMA_UNFIT:
		schema_unfit(worker, sentence);
		break;
	case SCHEMA_UNREADABLE:
		member_retry_later(
		    worker, "reading the schema's version", result);
		break;
	}
}

static void
check(struct worker *worker)
{
	member_set_state(worker, MEMBER_CHECKING);
	member_send(worker, &schema_statement, NULL, on_schema);
}

static void
on_ready(struct pg *pg, void *argument)
{
	struct worker *worker = argument;

	(void)pg;
	check(worker);
}

static void
on_lost(struct pg *pg, const char *reason, void *argument)
{
	struct worker *worker = argument;
	struct member *member = &worker->member;

	(void)pg;
	if (!member->lost_logged)
		log_write(LOG_LEVEL_WARNING, LOG_DATABASE_LOST, NULL,
		    "the database is away, trying again: %s", reason);
	member->lost_logged = true;
	event_del(member->beat);
	event_del(member->retry);
	fetch_lost(worker);
	turn_lost(worker);
	if (member->state == MEMBER_LEAVING)
		worker_drain_left(worker);
	else if (member->state != MEMBER_GONE)
		member_set_state(worker, MEMBER_AWAY);
}

static void
on_retry(evutil_socket_t fd, short what, void *argument)
{
	struct worker *worker = argument;

	(void)fd, (void)what;
	if (pg_is_ready(worker->pg))
		check(worker);
}

static void
on_beat_answer(PGresult *result, void *argument)
{
	struct worker *worker = argument;

	if (result == NULL || worker->member.state != MEMBER_IN)
		return;
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		log_warning("the beat failed: %s", pg_message(result));
	else if (PQntuples(result) == 1 && !row_bool(result, 0, 0))
		member_dead(worker);
}

static void
on_beat(evutil_socket_t fd, short what, void *argument)
{
	struct worker *worker = argument;
	char id[NUMBER_SIZE];
	const char *values[] = {id};
	struct timeval beat = {.tv_sec = MEMBER_BEAT_MS / 1000};

	(void)fd, (void)what;
	snprintf(id, sizeof(id), "%" PRId64, worker->member.id);
	member_send(worker, &statement_beat, values, on_beat_answer);
	event_add(worker->member.beat, &beat);
}

void
member_open(struct worker *worker)
{
	static const struct pg_callbacks callbacks = {
	    .on_ready = on_ready, .on_lost = on_lost};
	struct pg_options options = {.conninfo = worker->config->database,
	    .application_name = "musterd worker",
	    .prepare = worker->config->prepared_statements,
	    .pooled = worker->config->direct_database != NULL};
	struct member *member = &worker->member;

	member->beat = evtimer_new(worker->base, on_beat, worker);
	member->retry = evtimer_new(worker->base, on_retry, worker);
	worker->pg = pg_new(worker->base, &options, &callbacks, worker);
}

void
member_close(struct worker *worker)
{
	worker->member.state = MEMBER_GONE;
	worker->pg = pg_free(worker->pg);
	event_free(worker->member.beat);
	event_free(worker->member.retry);
	read_back_free(worker);
}

/* Nothing that this id held is ours: each list is emptied. */
static void
drop_all(struct worker *worker)
{
	struct running *running, *next;

	read_back_void(worker, &worker->sent);
	read_back_void(worker, &worker->finished);
	run_give_back(worker);
	read_back_void(worker, &worker->finished);
	for (running = TAILQ_FIRST(&worker->started); running != NULL;
	     running = next) {
		next = TAILQ_NEXT(running, link);
		run_fenced(worker, running);
	}
}

void
member_dead(struct worker *worker)
{
	log_warning("worker %" PRId64 " is dead by the database's books, "
		    "registering anew; the %zu tasks it holds are fenced",
	    worker->member.id, worker->table.count);
	event_del(worker->member.beat);
	turn_lost(worker);
	fetch_lost(worker);
	drop_all(worker);
	budget_forget(worker);
	worker->member.id = 0;
	worker->member.registered = false;
	if (worker_drain_is_on(worker)) {
		member_set_state(worker, MEMBER_GONE);
		turn_kick(worker);
		return;
	}
	registration_start(worker);
}

static void
on_left(PGresult *result, void *argument)
{
	struct worker *worker = argument;

	if (worker->member.state != MEMBER_LEAVING)
		return;
	if (result != NULL && PQresultStatus(result) != PGRES_TUPLES_OK)
		log_warning("leaving failed: %s", pg_message(result));
	else if (result != NULL)
		worker->member.left = true;
	member_set_state(worker, MEMBER_GONE);
	worker_drain_left(worker);
}

void
member_leave(struct worker *worker)
{
	char id[NUMBER_SIZE];
	const char *values[] = {id};

	event_del(worker->member.beat);
	member_set_state(worker, MEMBER_LEAVING);
	snprintf(id, sizeof(id), "%" PRId64, worker->member.id);
	if (pg_send(worker->pg, &statement_leave, values, on_left, worker) < 0)
		on_left(NULL, worker);
}
