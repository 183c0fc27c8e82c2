#include "daemon/worker/fetch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "daemon/worker/row.h"
#include "daemon/worker/statements.h"
#include "daemon/worker/verdict.h"
#include "daemon/worker/worker.h"

enum { NUMBER_SIZE = 24 };

static bool
needs_payload(const struct running *running)
{
	return running->no_payload && running->payload == NULL &&
	       !running->binding->ops->ignores_payload;
}

static bool
needs_inputs(const struct running *running)
{
	return running->has_needs && running->inputs == NULL &&
	       !running->binding->ops->ignores_inputs;
}

bool
fetch_is_needed(const struct running *running)
{
	return needs_payload(running) || needs_inputs(running);
}

static void on_fetched(PGresult *result, void *argument);

/* How much more may be held; 0 or less: nothing, but for one task. */
static int64_t
room_bytes(const struct worker *worker)
{
	return (int64_t)CLAIM_HELD - (int64_t)worker->held_bytes;
}

static void
send_fetch(struct worker *worker)
{
	struct fetch *fetch = &worker->fetch;
	struct text ids = TEXT_EMPTY;
	int64_t most = room_bytes(worker);
	char bytes[NUMBER_SIZE];
	const char *values[2] = {NULL, bytes};

	for (int i = 0; i < fetch->count; i++) {
		text_add_char(&ids, i == 0 ? '{' : ',');
		text_add_int(&ids, fetch->ids[i]);
	}
	text_add_char(&ids, '}');
	values[0] = text_string(&ids);
	if (most > FETCH_INPUTS_BYTES)
		most = FETCH_INPUTS_BYTES;
	snprintf(bytes, sizeof(bytes), "%" PRId64, most);
	fetch->under_way =
	    pg_send(worker->pg,
		fetch->inputs ? &statement_inputs : &statement_payload, values,
		on_fetched, worker) == 0;
	text_free(&ids);
}

/* Inputs of many before a payload of one. */
static void
choose(struct worker *worker)
{
	struct fetch *fetch = &worker->fetch;
	int most = fetch->singly ? 1 : FETCH_INPUTS_MAX;
	struct running *running;

	fetch->count = 0;
	fetch->inputs = true;
	TAILQ_FOREACH(running, &worker->fetching, link)
	{
		if (fetch->count == most)
			return;
		if (needs_inputs(running))
			fetch->ids[fetch->count++] = running->task.id;
	}
	if (fetch->count > 0)
		return;
	fetch->inputs = false;
	running = TAILQ_FIRST(&worker->fetching);
	if (running != NULL)
		fetch->ids[fetch->count++] = running->task.id;
}

void
fetch_next(struct worker *worker)
{
	if (worker->fetch.under_way || !member_is_in(worker))
		return;
	if (room_bytes(worker) <= 0 && !TAILQ_EMPTY(&worker->started))
		return;
	choose(worker);
	if (worker->fetch.count > 0)
		send_fetch(worker);
}

void
fetch_lost(struct worker *worker)
{
	worker->fetch.under_way = false;
}

static struct running *
waiting_for(struct worker *worker, int64_t id)
{
	struct running *running = running_table_find(&worker->table, id);

	if (running == NULL || running->state != RUNNING_FETCHING)
		return NULL;
	return running;
}

static char *
copy(const PGresult *result, int row, size_t *ret_size)
{
	char *bytes;

	*ret_size = (size_t)PQgetlength(result, row, 1);
	bytes = malloc(*ret_size + 1);
	if (bytes == NULL)
		abort();
	memcpy(bytes, PQgetvalue(result, row, 1), *ret_size + 1);
	return bytes;
}

static void
keep(struct worker *worker, const PGresult *result, int row)
{
	struct running *running = waiting_for(worker, row_int(result, row, 0));

	if (running == NULL)
		return;
	if (PQgetisnull(result, row, 1)) { /* it does not exist any more */
		run_forget(worker, running);
		return;
	}
	worker->held_bytes -= running_bytes(running);
	if (worker->fetch.inputs)
		running->inputs = copy(result, row, &running->task.inputs_size);
	else
		running->payload =
		    copy(result, row, &running->task.payload_size);
	worker->held_bytes += running_bytes(running);
	if (fetch_is_needed(running))
		return;
	if (share_set_is_over(&running->shares)) {
		run_give_back_one(worker, running);
		return;
	}
	TAILQ_REMOVE(&worker->fetching, running, link);
	run_start(worker, running);
}

/* One alone is refused: it fails, unless the server has trouble of its own. */
static void
refused(struct worker *worker, const PGresult *result)
{
	struct fetch *fetch = &worker->fetch;
	struct running *running;
	struct finish finish = {0};

	if (fetch->count > 1) {
		fetch->singly = true;
		return;
	}
	running = waiting_for(worker, fetch->ids[0]);
	if (running == NULL)
		return;
	verdict_fail(&finish, "its %s cannot be read: %s (SQLSTATE %s)",
	    fetch->inputs ? "inputs" : "payload", pg_message(result),
	    pg_sqlstate(result));
	if (strncmp(pg_sqlstate(result), "54", 2) != 0 &&
	    strncmp(pg_sqlstate(result), "22", 2) != 0) {
		finish.outcome = 'u';
		finish.delay_ms = MEMBER_RETRY_MS;
	}
	run_refuse(worker, running, &finish);
}

static void
on_fetched(PGresult *result, void *argument)
{
	struct worker *worker = argument;

	if (result == NULL)
		return;
	worker->fetch.under_way = false;
	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		refused(worker, result);
	} else {
		worker->fetch.singly = false;
		for (int row = 0; row < PQntuples(result); row++)
			keep(worker, result, row);
	}
	fetch_next(worker);
	turn_kick(worker);
}
