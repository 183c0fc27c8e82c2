#include "daemon/worker/sql_pool.h"

#include <assert.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/text.h"
#include "daemon/worker/statements.h"
#include "daemon/worker/worker.h"

/* The worker's own timer comes first; the server's is for when we are gone. */
enum { SERVER_LIMIT_SLACK_MS = 2000, NUMBER_SIZE = 24 };

enum sql_state { SQL_CLOSED, SQL_OPENING, SQL_SETTING, SQL_CALLING, SQL_IDLE };

struct sql_connection {
	struct sql_pool *pool;
	enum sql_state state;
	struct pg *pg;	     /* NULL: closed */
	struct event *timer; /* idle for long, or told to end and does not */
	int64_t limit_ms;    /* statement_timeout of the session; 0: unset */
	struct task *task;   /* in the states up to SQL_CALLING */
	bool cancelled;
	const char *function, *role;
	handler_called_cb *on_called;
	void *handler;
};

struct sql_pool {
	struct worker *worker;
	struct sql_connection items[SQL_POOL_SIZE];
};

static void
set_timer(struct sql_connection *connection, int64_t ms)
{
	struct timeval after = {
	    .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	event_add(connection->timer, &after);
}

static void
close_connection(struct sql_connection *connection)
{
	connection->state = SQL_CLOSED;
	connection->limit_ms = 0;
	event_del(connection->timer);
	connection->pg = pg_free(connection->pg);
}

/* The task may be gone after this. */
static void
report(struct sql_connection *connection, enum call_end end, const char *error)
{
	struct task *task = connection->task;

	connection->task = NULL;
	connection->on_called(task, end, error, connection->handler);
}

/* The connection broke or was given up in the middle of a call: whether the
 * transaction was committed is not known. */
static void
report_lost(struct sql_connection *connection)
{
	running_of(connection->task)->maybe_recorded =
	    connection->state == SQL_CALLING;
	report(connection, connection->cancelled ? CALL_CANCELLED : CALL_LOST,
	    "connection to PostgreSQL lost");
}

static void
rest(struct sql_connection *connection)
{
	if (connection->cancelled) {
		/* The cancel may still be on its way: it must not hit the
		 * next call. */
		close_connection(connection);
		return;
	}
	connection->state = SQL_IDLE;
	set_timer(connection, SQL_POOL_IDLE_MS);
}

static bool
is_taken_away(const char *sqlstate)
{
	return strcmp(sqlstate, "MU001") == 0 || strcmp(sqlstate, "MU002") == 0;
}

static enum call_end
end_of_failure(const struct sql_connection *connection, const char *sqlstate)
{
	if (connection->cancelled)
		return CALL_CANCELLED;
	if (strncmp(sqlstate, "08", 2) == 0 || strncmp(sqlstate, "57P", 3) == 0)
		return CALL_LOST;
	return CALL_FAILED;
}

static void
failed(struct sql_connection *connection, const PGresult *result)
{
	struct running *running = running_of(connection->task);
	const char *sqlstate = pg_sqlstate(result);
	enum call_end end = end_of_failure(connection, sqlstate);
	struct text error = TEXT_EMPTY;

	if (is_taken_away(sqlstate)) {
		log_warning("task %" PRId64 " is fenced: it was taken from "
			    "this worker, and its function is undone",
		    running->task.id);
		running->cancelled = true;
		running->reason = CANCEL_FENCED;
	}
	text_addf(&error, "%s (SQLSTATE %s)", pg_message(result), sqlstate);
	rest(connection);
	report(connection, end, text_string(&error));
	text_free(&error);
}

static void
on_done(PGresult *result, void *argument)
{
	struct sql_connection *connection = argument;

	if (result == NULL)
		return; /* on_lost follows */
	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		failed(connection, result);
		return;
	}
	rest(connection);
	report(connection, CALL_RECORDED, "");
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
call(struct sql_connection *connection)
{
	const struct task *task = connection->task;
	char worker[NUMBER_SIZE], lease[NUMBER_SIZE], id[NUMBER_SIZE];
	const char *values[] = {
	    worker, lease, id, connection->function, connection->role};

	snprintf(worker, sizeof(worker), "%" PRId64, task->worker);
	snprintf(lease, sizeof(lease), "%" PRId64, task->lease);
	snprintf(id, sizeof(id), "%" PRId64, task->id);
	connection->state = SQL_CALLING;
	send_on(connection, &statement_sql_task, values, on_done);
}

static int64_t
limit_of(const struct task *task)
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
		failed(connection, result);
		return;
	}
	connection->limit_ms = limit_of(connection->task);
	call(connection);
}

static void
set_up(struct sql_connection *connection)
{
	char limit[NUMBER_SIZE], check[NUMBER_SIZE];
	const char *values[] = {limit, check};

	connection->state = SQL_SETTING;
	snprintf(limit, sizeof(limit), "%" PRId64, limit_of(connection->task));
	snprintf(check, sizeof(check), "%d", SQL_POOL_CHECK_MS);
	send_on(connection, &statement_sql_setup, values, on_set);
}

static void
go_on(struct sql_connection *connection)
{
	event_del(connection->timer);
	if (connection->limit_ms == limit_of(connection->task))
		call(connection);
	else
		set_up(connection);
}

static void
on_ready(struct pg *pg, void *argument)
{
	struct sql_connection *connection = argument;

	(void)pg;
	if (connection->state == SQL_OPENING)
		go_on(connection);
}

static void
on_lost(struct pg *pg, const char *reason, void *argument)
{
	struct sql_connection *connection = argument;
	bool calling = connection->task != NULL;

	(void)pg;
	log_debug("connection of an sql task lost: %s", reason);
	if (calling)
		report_lost(connection);
	if (connection->pg == pg && connection->task == NULL)
		close_connection(connection);
}

static void
on_timer(evutil_socket_t fd, short what, void *argument)
{
	struct sql_connection *connection = argument;

	(void)fd, (void)what;
	if (connection->state == SQL_IDLE)
		close_connection(connection);
	else
		pg_reset(connection->pg, "the call was told to end in vain");
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

/* One that is open before one that would have to be opened. */
static struct sql_connection *
choose(struct sql_pool *pool)
{
	struct sql_connection *closed = NULL;

	for (int i = 0; i < SQL_POOL_SIZE; i++) {
		struct sql_connection *connection = &pool->items[i];

		if (connection->state == SQL_IDLE)
			return connection;
		if (connection->state == SQL_CLOSED)
			closed = connection;
	}
	assert(closed != NULL);
	return closed;
}

static void
pool_call(void *argument, struct task *task, const char *function,
    const char *role, handler_called_cb *on_called, void *handler)
{
	struct worker *worker = argument;
	struct sql_connection *connection = choose(worker->sql_pool);

	connection->task = task;
	connection->function = function;
	connection->role = role;
	connection->on_called = on_called;
	connection->handler = handler;
	connection->cancelled = false;
	if (connection->state == SQL_IDLE)
		go_on(connection);
	else
		open_connection(connection);
}

static void
ask_server_to_cancel(struct sql_connection *connection)
{
	char pid[NUMBER_SIZE];
	const char *values[] = {pid};

	snprintf(pid, sizeof(pid), "%d", pg_backend_pid(connection->pg));
	/* should it not be sent, the grace time ends it */
	member_send(
	    connection->pool->worker, &statement_cancel_backend, values, NULL);
}

static void
cancel(struct sql_connection *connection, int64_t grace_ms)
{
	bool first = !connection->cancelled;

	connection->cancelled = true;
	if (connection->state != SQL_CALLING) {
		close_connection(connection);
		report(connection, CALL_CANCELLED, "");
		return;
	}
	if (first)
		ask_server_to_cancel(connection);
	set_timer(connection, grace_ms);
}

static void
pool_cancel(void *argument, struct task *task, int64_t grace_ms)
{
	struct worker *worker = argument;

	for (int i = 0; i < SQL_POOL_SIZE; i++)
		if (worker->sql_pool->items[i].task == task) {
			cancel(&worker->sql_pool->items[i], grace_ms);
			return;
		}
}

const struct handler_database *
sql_pool_interface(void)
{
	static const struct handler_database interface = {
	    .call = pool_call, .cancel = pool_cancel};

	return &interface;
}

struct sql_pool *
sql_pool_new(struct worker *worker)
{
	struct sql_pool *pool = calloc(1, sizeof(*pool));

	if (pool == NULL)
		abort();
	pool->worker = worker;
	for (int i = 0; i < SQL_POOL_SIZE; i++) {
		pool->items[i].pool = pool;
		pool->items[i].timer =
		    evtimer_new(worker->base, on_timer, &pool->items[i]);
	}
	return pool;
}

struct sql_pool *
sql_pool_free(struct sql_pool *pool)
{
	if (pool == NULL)
		return NULL;
	for (int i = 0; i < SQL_POOL_SIZE; i++) {
		struct sql_connection *connection = &pool->items[i];

		close_connection(connection);
		if (connection->task != NULL)
			report_lost(connection);
		event_free(connection->timer);
	}
	free(pool);
	return NULL;
}
