/*
 * Work inside the database: the function is called and its task finished in
 * one transaction, so its effect happens exactly once. The worker's extra
 * connections do it (handler_database); this file turns ends into outcomes.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/handlers/handler.h"

enum { LOST_AGAIN_MS = 1000 };

struct handler {
	const struct handler_host *host;
	const struct handler_config *config;
};

static struct handler *
sql_open(const struct handler_host *host, const struct handler_config *config)
{
	struct handler *handler = calloc(1, sizeof(*handler));

	if (handler == NULL)
		abort();
	handler->host = host;
	handler->config = config;
	return handler;
}

static void
on_called(
    struct task *task, enum call_end end, const char *error, void *argument)
{
	static const enum outcome_kind kinds[] = {
	    [CALL_RECORDED] = OUTCOME_RECORDED,
	    [CALL_FAILED] = OUTCOME_FAILED,
	    [CALL_REFUSED] = OUTCOME_FAILED_HARD,
	    [CALL_CANCELLED] = OUTCOME_CANCELLED,
	    [CALL_NOT_BEGUN] = OUTCOME_NOT_BEGUN,
	    [CALL_LOST] = OUTCOME_TRY_LATER,
	};
	struct handler *handler = argument;
	struct outcome outcome = {.kind = kinds[end],
	    .error = error,
	    .error_size = strlen(error),
	    .after_ms = end == CALL_LOST ? LOST_AGAIN_MS : -1};

	handler->host->on_done(task, &outcome, handler->host->argument);
}

static void
sql_start(struct handler *handler, struct task *task)
{
	handler->host->database->call(handler->host->argument, task,
	    handler->config->function, handler->config->role, on_called,
	    handler);
}

static void
sql_cancel(struct handler *handler, struct task *task,
    enum cancel_reason reason, int64_t grace_ms)
{
	(void)reason;
	handler->host->database->cancel(
	    handler->host->argument, task, grace_ms);
}

static void
sql_close(struct handler *handler)
{
	free(handler);
}

const struct handler_ops handler_sql = {.name = "sql",
    .ignores_payload = true,
    .ignores_inputs = true,
    .open = sql_open,
    .start = sql_start,
    .cancel = sql_cancel,
    .close = sql_close};
