/* One extra connection: opened, checked, set up, called on, closed. */
#include <assert.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/busy.h"
#include "common/log.h"
#include "common/text.h"
#include "daemon/worker/sql_parts.h"
#include "daemon/worker/statements.h"
#include "daemon/worker/worker.h"

/* The worker's own timer comes first; the server's is for when we are gone. */
enum {
	SERVER_LIMIT_SLACK_MS = 2000,
	CANCEL_MS = 5000,
	CANCEL_AGAIN_MS = 100,
	NUMBER_SIZE = 24
};

static void
set_timer(struct sql_connection *connection, int64_t ms)
{
	struct timeval after = {
	    .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	event_add(connection->timer, &after);
}

static const struct sql_connections_config *
limits_of(const struct sql_connection *connection)
{
	return &connection->pool->worker->config->sql_connections;
}

void
sql_connection_close(struct sql_connection *connection)
{
	connection->state = SQL_CLOSED;
	connection->limit_ms = 0;
	event_del(connection->timer);
	connection->pg = pg_free(connection->pg);
}

static bool
is_old(const struct sql_connection *connection)
{
	return mono_ms_between(connection->opened, mono_now()) >=
	       limits_of(connection)->max_age_ms;
}

static void
rest(struct sql_connection *connection)
{
	event_del(connection->timer);
	if (connection->told || is_old(connection)) {
		/* A cancel may still be on its way: it must not hit the
		 * next call. */
		sql_connection_close(connection);
		return;
	}
	connection->state = SQL_IDLE;
	connection->rested = mono_now();
	if (sql_pool_open(connection->pool) > limits_of(connection)->size)
		set_timer(connection, SQL_OVERFLOW_MS);
}

static void
on_answer(PGresult *result, void *argument)
{
	struct sql_connection *connection = argument;

	if (result == NULL)
		return; /* on_lost follows */
	rest(connection);
	sql_answer(connection, result);
}

static void
send_on(struct sql_connection *connection, const struct pg_statement *statement,
    const char *const *values, pg_result_cb *on_result)
{
	if (pg_send(connection->pg, statement, values, on_result, connection) <
	    0)
		log_debug("not connected, the loss will be reported");
}

static void
add_ids(const struct sql_connection *connection, struct text *leases,
    struct text *tasks)
{
	const struct sql_call *call;
	const char *before = "{";

	TAILQ_FOREACH(call, &connection->calls, link)
	{
		text_addf(leases, "%s%" PRId64, before, call->task->lease);
		text_addf(tasks, "%s%" PRId64, before, call->task->id);
		before = ",";
	}
	text_add_char(leases, '}');
	text_add_char(tasks, '}');
}

static void
call(struct sql_connection *connection)
{
	const struct sql_call *first = TAILQ_FIRST(&connection->calls);
	struct text leases = TEXT_EMPTY, tasks = TEXT_EMPTY;
	char worker[NUMBER_SIZE], most[NUMBER_SIZE];

	add_ids(connection, &leases, &tasks);
	snprintf(worker, sizeof(worker), "%" PRId64, first->task->worker);
	snprintf(most, sizeof(most), "%" PRId64,
	    connection->pool->worker->config->max_result_bytes);
	const char *values[] = {worker, text_string(&leases),
	    text_string(&tasks), first->function, first->role, most};

	connection->state = SQL_CALLING;
	if (connection->count > 1)
		set_timer(connection, SQL_PATIENCE_MS);
	send_on(connection, &statement_sql_tasks, values, on_answer);
	text_free(&leases);
	text_free(&tasks);
}

int64_t
sql_limit_ms(const struct task *task)
{
	if (task->timeout_ms <= 0 ||
	    task->timeout_ms > INT32_MAX - SERVER_LIMIT_SLACK_MS)
		return INT32_MAX;
	return task->timeout_ms + SERVER_LIMIT_SLACK_MS;
}

static void
on_set(PGresult *result, void *argument)
{
	struct sql_connection *connection = argument;

	if (result == NULL)
		return;
	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		rest(connection);
		sql_answer(connection, result);
		return;
	}
	connection->limit_ms =
	    sql_limit_ms(TAILQ_FIRST(&connection->calls)->task);
	call(connection);
}

static void
set_up(struct sql_connection *connection)
{
	const struct sql_call *first = TAILQ_FIRST(&connection->calls);
	char limit[NUMBER_SIZE], check[NUMBER_SIZE];
	const char *values[] = {limit, check};

	event_del(connection->timer);
	if (connection->limit_ms == sql_limit_ms(first->task)) {
		call(connection);
		return;
	}
	connection->state = SQL_SETTING;
	snprintf(limit, sizeof(limit), "%" PRId64, sql_limit_ms(first->task));
	snprintf(check, sizeof(check), "%d", SQL_CLIENT_CHECK_MS);
	send_on(connection, &statement_sql_setup, values, on_set);
}

static void
on_ready(struct pg *pg, void *argument)
{
	struct sql_connection *connection = argument;

	(void)pg;
	connection->opened = mono_now();
	connection->limit_ms = 0;
	if (connection->state == SQL_OPENING)
		set_up(connection);
}

/* Whatever was not yet sent may be sent on the next session. */
static void
on_lost(struct pg *pg, const char *reason, void *argument)
{
	struct sql_connection *connection = argument;
	enum sql_state state = connection->state;

	(void)pg;
	log_debug("connection of an sql task lost: %s", reason);
	event_del(connection->timer);
	if (state == SQL_CHECKING) {
		connection->state = SQL_OPENING;
		return; /* it is being opened anew */
	}
	sql_connection_close(connection);
	sql_answer_lost(connection, state == SQL_CALLING);
}

static void
on_checked(PGresult *result, void *argument)
{
	struct sql_connection *connection = argument;

	if (result != NULL)
		set_up(connection);
}

static void
check(struct sql_connection *connection)
{
	connection->state = SQL_CHECKING;
	set_timer(connection, SQL_CHECK_MS);
	send_on(connection, &statement_sql_check, NULL, on_checked);
}

static void
on_told(PGresult *result, void *argument)
{
	struct sql_connection *connection = argument;

	(void)result;
	connection->telling = false;
}

/* A cancel that reaches the server before the statement does is lost there, so
 * it is sent again until the call has ended. The session ends with it (rest):
 * one that is late finds nothing. Should none be sent, the grace time ends it.
 */
static void
tell_to_end(struct sql_connection *connection)
{
	struct worker *worker = connection->pool->worker;
	int64_t left_ms = mono_ms_between(mono_now(), connection->give_up);
	char pid[NUMBER_SIZE];
	const char *values[] = {pid};

	snprintf(pid, sizeof(pid), "%d", pg_backend_pid(connection->pg));
	if (!connection->telling)
		connection->telling =
		    pg_send(worker->pg, &statement_cancel_backend, values,
			on_told, connection) == 0;
	if (left_ms > CANCEL_AGAIN_MS)
		left_ms = CANCEL_AGAIN_MS;
	set_timer(connection, left_ms > 0 ? left_ms : 0);
}

void
sql_connection_cancel(struct sql_connection *connection, int64_t grace_ms)
{
	struct mono give_up = mono_add_ms(mono_now(), grace_ms);

	if (connection->state != SQL_CALLING) {
		sql_connection_close(connection);
		sql_answer_lost(connection, false);
		return;
	}
	if (!connection->told || give_up.us < connection->give_up.us)
		connection->give_up = give_up;
	connection->told = true;
	tell_to_end(connection);
}

static void
be_patient_no_longer(struct sql_connection *connection)
{
	if (!connection->told)
		sql_connection_cancel(connection, CANCEL_MS);
	else if (mono_us_between(mono_now(), connection->give_up) > 0)
		tell_to_end(connection);
	else
		pg_reset(connection->pg, "the call was told to end in vain");
}

static void
on_timer(evutil_socket_t fd, short what, void *argument)
{
	struct sql_connection *connection = argument;
	struct busy busy = busy_enter("connection of sql tasks");

	(void)fd, (void)what;
	if (connection->state == SQL_IDLE &&
	    sql_pool_open(connection->pool) > limits_of(connection)->size)
		sql_connection_close(connection);
	else if (connection->state == SQL_CHECKING)
		pg_reset(connection->pg, "no answer to the check before use");
	else if (connection->state == SQL_CALLING)
		be_patient_no_longer(connection);
	busy_leave(busy);
}

static void
open_connection(struct sql_connection *connection)
{
	static const struct pg_callbacks callbacks = {
	    .on_ready = on_ready, .on_lost = on_lost};
	const struct worker *worker = connection->pool->worker;
	const struct config *config = worker->config;
	struct pg_options options = {.conninfo = config->direct_database != NULL
						     ? config->direct_database
						     : config->database,
	    .application_name = "musterd sql task",
	    .prepare = config->prepared_statements,
	    .statement_limit_ms = INT32_MAX};

	connection->state = SQL_OPENING;
	connection->pg = pg_new(worker->base, &options, &callbacks, connection);
}

void
sql_connection_begin(struct sql_connection *connection)
{
	int64_t idle_ms = mono_ms_between(connection->rested, mono_now());

	connection->told = false;
	event_del(connection->timer);
	if (connection->state == SQL_IDLE && is_old(connection))
		sql_connection_close(connection);
	if (connection->state == SQL_CLOSED)
		open_connection(connection);
	else if (idle_ms >= limits_of(connection)->check_after_ms)
		check(connection);
	else
		set_up(connection);
}

struct sql_connection *
sql_connection_new(struct sql_pool *pool)
{
	struct sql_connection *connection = calloc(1, sizeof(*connection));

	if (connection == NULL)
		abort();
	connection->pool = pool;
	TAILQ_INIT(&connection->calls);
	connection->timer =
	    evtimer_new(pool->worker->base, on_timer, connection);
	if (connection->timer == NULL)
		abort();
	return connection;
}

void
sql_connection_free(struct sql_connection *connection)
{
	assert(TAILQ_EMPTY(&connection->calls));
	sql_connection_close(connection);
	event_free(connection->timer);
	free(connection);
}
