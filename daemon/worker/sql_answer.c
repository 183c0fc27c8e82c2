/* What came of a batch: of each call, its end, or another try alone. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/text.h"
#include "daemon/worker/row.h"
#include "daemon/worker/sql_parts.h"
#include "daemon/worker/worker.h"

void
sql_call_end(struct sql_call *call, enum call_end end, const char *error)
{
	struct task *task = call->task;
	handler_called_cb *on_called = call->on_called;
	void *handler = call->handler;

	task->state = NULL;
	free(call);
	on_called(task, end, error, handler);
}

static struct sql_call *
next_call(struct sql_connection *connection)
{
	struct sql_call *call = TAILQ_FIRST(&connection->calls);

	if (call != NULL) {
		TAILQ_REMOVE(&connection->calls, call, link);
		connection->count--;
		call->connection = NULL;
	}
	return call;
}

/* Nothing of the batch took effect: company may have been the reason. */
static void
separate(struct sql_connection *connection, const PGresult *result)
{
	struct sql_pool *pool = connection->pool;
	struct sql_call *call;

	log_debug("%d calls undone, each again alone: %s (SQLSTATE %s)",
	    connection->count, pg_message(result), pg_sqlstate(result));
	while ((call = next_call(connection)) != NULL) {
		sql_pace_lonely(call->pace);
		if (call->cancelled)
			sql_call_end(call, CALL_CANCELLED, "");
		else
			sql_pool_again_alone(pool, call);
	}
	sql_pool_kick(pool);
}

static bool
is_taken_away(const char *sqlstate)
{
	return strcmp(sqlstate, "MU001") == 0 || strcmp(sqlstate, "MU002") == 0;
}

static enum call_end
end_of_failure(const struct sql_call *call, const char *sqlstate)
{
	if (call->cancelled)
		return CALL_CANCELLED;
	if (strncmp(sqlstate, "08", 2) == 0 || strncmp(sqlstate, "57P", 3) == 0)
		return CALL_LOST;
	return strcmp(sqlstate, "MU005") == 0 ? CALL_REFUSED : CALL_FAILED;
}

static void
failed(struct sql_call *call, const PGresult *result)
{
	struct running *running = running_of(call->task);
	const char *sqlstate = pg_sqlstate(result);
	struct text error = TEXT_EMPTY;

	if (is_taken_away(sqlstate)) {
		log_warning("task %" PRId64 " is fenced: it was taken from "
			    "this worker, and its function is undone",
		    running->task.id);
		running->cancelled = true;
		running->reason = CANCEL_FENCED;
	}
	text_addf(&error, "%s (SQLSTATE %s)", pg_message(result), sqlstate);
	sql_call_end(call, end_of_failure(call, sqlstate), text_string(&error));
	text_free(&error);
}

/* Whether an array such as {3,17} has the number; '' is none. */
static bool
is_in(const char *array, int64_t id)
{
	char *end;

	for (array += *array == '{'; *array != '\0' && *array != '}';
	     array = end + (*end == ','))
		if (strtoll(array, &end, 10) == id)
			return true;
	return false;
}

static void
recorded(struct sql_connection *connection, const PGresult *result)
{
	struct sql_pool *pool = connection->pool;
	const char *failures = PQgetvalue(result, 0, 0);
	int64_t us = row_int(result, 0, 1);
	struct sql_call *call = TAILQ_FIRST(&connection->calls);

	if (sql_pace_learn(call->pace, us))
		worker_share_out(pool->worker);
	while ((call = next_call(connection)) != NULL) {
		if (!is_in(failures, call->task->id))
			sql_call_end(call, CALL_RECORDED, "");
		else if (call->cancelled)
			sql_call_end(call, CALL_CANCELLED, "");
		else
			sql_pool_again_alone(pool, call);
	}
	sql_pool_kick(pool);
}

void
sql_answer(struct sql_connection *connection, const PGresult *result)
{
	if (PQresultStatus(result) == PGRES_TUPLES_OK)
		recorded(connection, result);
	else if (connection->count > 1)
		separate(connection, result);
	else
		failed(next_call(connection), result);
	sql_pool_kick(connection->pool);
}

void
sql_answer_lost(struct sql_connection *connection, bool begun)
{
	struct sql_call *call;

	while ((call = next_call(connection)) != NULL) {
		running_of(call->task)->maybe_recorded = begun;
		sql_call_end(call, call->cancelled ? CALL_CANCELLED : CALL_LOST,
		    "connection to PostgreSQL lost");
	}
	sql_pool_kick(connection->pool);
}
