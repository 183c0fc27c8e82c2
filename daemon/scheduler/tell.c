#include "daemon/scheduler/tell.h"

#include <stdlib.h>

#include "daemon/event.h"
#include "daemon/scheduler/scheduler.h"
#include "daemon/scheduler/statements.h"

bool
tell_wants_flows(struct scheduler *scheduler)
{
	return publisher_may_want(
	    scheduler->watch.publisher, EVENT_FLOW_FINISHED, mono_now());
}

static const char *
value(const PGresult *result, int row, int column)
{
	return PQgetisnull(result, row, column)
		   ? NULL
		   : PQgetvalue(result, row, column);
}

static int64_t
number(const PGresult *result, int row, int column)
{
	return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

static void
tell_flow(struct scheduler *scheduler, const PGresult *result, int row)
{
	static const struct {
		const char *name;
		int column;
	} counts[] = {{"total", FOLD_TOTAL}, {"succeeded", FOLD_SUCCEEDED},
	    {"failed", FOLD_FAILED}, {"cancelled", FOLD_CANCELLED},
	    {"skipped", FOLD_SKIPPED}};
	struct text event = TEXT_EMPTY;

	if (!publisher_wants(
		scheduler->watch.publisher, EVENT_FLOW_FINISHED, mono_now()))
		return;
	event_begin(&event, EVENT_FLOW_FINISHED, wall_now_us());
	event_add_id(&event, "flow", number(result, row, FOLD_FLOW));
	event_add_string(&event, "name", value(result, row, FOLD_NAME));
	event_add_string(&event, "state", value(result, row, FOLD_STATE));
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
		event_add_number(&event, counts[i].name,
		    number(result, row, counts[i].column));
	event_add_string(&event, "error", value(result, row, FOLD_ERROR));
	event_send(scheduler->watch.publisher, EVENT_FLOW_FINISHED, &event);
}

void
tell_flows(struct scheduler *scheduler, const PGresult *result)
{
	for (int row = 0; row < PQntuples(result); row++)
		if (!PQgetisnull(result, row, FOLD_FLOW))
			tell_flow(scheduler, result, row);
}

static void
tell_worker_down(struct scheduler *scheduler, int64_t worker, const char *cause)
{
	struct text event = TEXT_EMPTY;

	if (!publisher_wants(
		scheduler->watch.publisher, EVENT_WORKER_DOWN, mono_now()))
		return;
	event_begin(&event, EVENT_WORKER_DOWN, wall_now_us());
	event_add_id(&event, "worker", worker);
	event_add_string(&event, "cause", cause);
	event_send(scheduler->watch.publisher, EVENT_WORKER_DOWN, &event);
}

static void
tell_task(struct scheduler *scheduler, int64_t worker, const PGresult *result,
    int row)
{
	enum event_type type = *PQgetvalue(result, row, RESCUE_STATE) == 'c'
				   ? EVENT_TASK_CANCELLED
				   : EVENT_TASK_FAILED;
	struct text event = TEXT_EMPTY;

	if (!publisher_wants(scheduler->watch.publisher, type, mono_now()))
		return;
	event_begin(&event, type, wall_now_us());
	event_add_id(&event, "task", number(result, row, RESCUE_TASK));
	event_add_string(&event, "kind", value(result, row, RESCUE_KIND));
	event_add_string(&event, "queue", value(result, row, RESCUE_QUEUE));
	event_add_id(&event, "flow", number(result, row, RESCUE_FLOW));
	event_add_number(
	    &event, "attempt", number(result, row, RESCUE_ATTEMPT));
	event_add_id(&event, "worker", worker);
	event_add_string(&event, "error", value(result, row, RESCUE_ERROR));
	event_send(scheduler->watch.publisher, type, &event);
}

void
tell_rescue(struct scheduler *scheduler, int64_t worker, const char *cause,
    const PGresult *result)
{
	const char *alive = value(result, 0, RESCUE_WAS_ALIVE);

	for (int row = 0; row < PQntuples(result); row++)
		if (!PQgetisnull(result, row, RESCUE_TASK))
			tell_task(scheduler, worker, result, row);
	if (alive != NULL && *alive == 't')
		tell_worker_down(scheduler, worker, cause);
}

void
tell_flush(struct scheduler *scheduler)
{
	int64_t ms = mono_ms_between(mono_now(), scheduler->gone_at);

	if (ms > 0)
		publisher_flush(scheduler->watch.publisher,
		    ms < TELL_FLUSH_MS ? ms : TELL_FLUSH_MS);
}
