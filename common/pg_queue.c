/* Statements in line, one in flight, and their answers. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/busy.h"
#include "common/pg_internal.h"

static bool
is_prepared(const struct pg *pg, const struct pg_statement *statement)
{
	for (size_t i = 0; i < pg->prepared_count; i++)
		if (pg->prepared[i] == statement)
			return true;
	return false;
}

static struct pg_request *
request_new(const struct pg_statement *statement, const char *const *values,
    pg_result_cb *on_result, void *argument)
{
	size_t n = (size_t)statement->parameters;
	size_t size = sizeof(struct pg_request) + n * sizeof(char *);
	for (size_t i = 0; i < n; i++)
		size += values[i] != NULL ? strlen(values[i]) + 1 : 0;
	struct pg_request *request = calloc(1, size);
	if (request == NULL)
		abort();
	request->statement = statement;
	request->on_result = on_result;
	request->argument = argument;
	char *to = (char *)(request->values + n);
	for (size_t i = 0; i < n; i++) {
		if (values[i] == NULL)
			continue;
		size_t length = strlen(values[i]) + 1;
		request->values[i] = memcpy(to, values[i], length);
		to += length;
	}
	return request;
}

static void
request_free(struct pg_request *request)
{
	PQclear(request->result);
	free(request);
}

/* Takes it out of the line first: the callback may do what it likes. */
static void
deliver(struct pg *pg, struct pg_request *request, bool lost)
{
	STAILQ_REMOVE(&pg->line, request, pg_request, link);
	if (request->on_result != NULL) {
		struct busy busy = busy_enter(request->statement->name);
		request->on_result(
		    lost ? NULL : request->result, request->argument);
		busy_leave(busy);
	}
	request_free(request);
}

void
pg_queue_fail(struct pg *pg)
{
	/* Only those that stand here now: nothing can be sent meanwhile. */
	struct pg_request *request;
	while ((request = STAILQ_FIRST(&pg->line)) != NULL)
		deliver(pg, request, true);
}

/* The caller of pg_send must not be called back before it returned. */
static void
fail_soon(struct pg *pg)
{
	text_clear(&pg->reasons);
	text_add_string(&pg->reasons, pg_connection_error(pg));
	pg_set_timer(pg, 0);
}

static void
flush(struct pg *pg)
{
	int left = PQflush(pg->conn);
	if (left < 0)
		fail_soon(pg);
	else if (left > 0)
		pg_watch_write(pg);
}

static int
send_request(struct pg *pg, struct pg_request *request)
{
	const struct pg_statement *statement = request->statement;
	const char *const *values = request->values;
	if (!pg->prepare)
		return PQsendQueryParams(pg->conn, statement->sql,
		    statement->parameters, NULL, values, NULL, NULL, 0);
	request->preparing = !is_prepared(pg, statement);
	if (request->preparing)
		return PQsendPrepare(
		    pg->conn, statement->name, statement->sql, 0, NULL);
	return PQsendQueryPrepared(pg->conn, statement->name,
	    statement->parameters, values, NULL, NULL, 0);
}

void
pg_queue_pump(struct pg *pg)
{
	struct pg_request *request = STAILQ_FIRST(&pg->line);
	if (pg->state != PG_READY || request == NULL)
		return;
	pg_set_state(pg, PG_BUSY);
	pg_set_timer(pg, pg->statement_limit_ms);
	if (send_request(pg, request))
		flush(pg);
	else
		fail_soon(pg);
}

int
pg_send(struct pg *pg, const struct pg_statement *statement,
    const char *const *values, pg_result_cb *on_result, void *argument)
{
	assert(pg->magic == PG_MAGIC);
	if (!pg_is_ready(pg))
		return -ENOTCONN;
	struct pg_request *request =
	    request_new(statement, values, on_result, argument);
	STAILQ_INSERT_TAIL(&pg->line, request, link);
	pg_queue_pump(pg);
	return 0;
}

/* Nothing is known about a statement whose session was ended by the server:
 * severity FATAL, or an error that libpq itself made up. */
static bool
session_ended(const PGresult *result)
{
	if (PQresultStatus(result) != PGRES_FATAL_ERROR)
		return false;
	const char *severity =
	    PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *state = pg_sqlstate(result);
	return severity == NULL || strcmp(severity, "ERROR") != 0 ||
	       strncmp(state, "08", 2) == 0 || strcmp(state, "40003") == 0;
}

/* Refusals that every later statement of this session would meet too: the
 * server takes no writes any more, or what was prepared is forgotten, there
 * already (another session behind a pooler) or outdated (functions made
 * anew). */
static const char *
session_is_useless(const struct pg *pg, const PGresult *result)
{
	const char *state = pg_sqlstate(result);
	if (strcmp(state, "25006") == 0)
		return "the database has become read-only";
	if (pg->prepare &&
	    (strcmp(state, "26000") == 0 || strcmp(state, "42P05") == 0))
		return "prepared statements are not kept for this session: "
		       "behind a transaction pooler set prepared_statements: "
		       "false";
	if (pg->prepare && strcmp(state, "0A000") == 0)
		return "a prepared statement is out of date";
	return NULL;
}

static void
execute_prepared(struct pg *pg, struct pg_request *request)
{
	assert(pg->prepared_count < PG_STATEMENTS);
	pg->prepared[pg->prepared_count++] = request->statement;
	PQclear(request->result);
	request->result = NULL;
	if (send_request(pg, request))
		flush(pg);
	else
		fail_soon(pg);
}

static void
finish_request(struct pg *pg, struct pg_request *request)
{
	PGresult *result = request->result;
	if (session_ended(result) || result == NULL) {
		pg_lost(pg, result != NULL ? pg_message(result)
					   : pg_connection_error(pg));
		return;
	}
	if (request->preparing && PQresultStatus(result) == PGRES_COMMAND_OK) {
		execute_prepared(pg, request);
		return;
	}
	const char *useless = session_is_useless(pg, result);
	pg_set_state(pg, PG_READY);
	deliver(pg, request, false);
	if (useless != NULL && pg_is_ready(pg))
		pg_lost(pg, useless);
	else
		pg_queue_pump(pg);
}

static void
read_results(struct pg *pg)
{
	while (pg->state == PG_BUSY && !PQisBusy(pg->conn)) {
		struct pg_request *request = STAILQ_FIRST(&pg->line);
		PGresult *result = PQgetResult(pg->conn);
		if (result == NULL) {
			finish_request(pg, request);
			continue;
		}
		PQclear(request->result);
		request->result = result;
	}
}

void
pg_queue_notifies(struct pg *pg)
{
	PGnotify *notify;
	while (pg_is_ready(pg) && (notify = PQnotifies(pg->conn)) != NULL) {
		if (pg->callbacks.on_notify != NULL)
			pg->callbacks.on_notify(
			    notify->relname, notify->extra, pg->argument);
		PQfreemem(notify);
	}
}

void
pg_queue_readable(struct pg *pg)
{
	if (!PQconsumeInput(pg->conn)) {
		pg_lost(pg, pg_connection_error(pg));
		return;
	}
	if (pg->state == PG_BUSY)
		flush(pg);
	read_results(pg);
	pg_queue_notifies(pg);
}

void
pg_queue_writable(struct pg *pg)
{
	flush(pg);
}
