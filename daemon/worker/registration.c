/* Who the worker is: its id, its routes, its place among the sleepers. */
#include <config.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/log.h"
#include "common/text.h"
#include "daemon/worker/member_parts.h"
#include "daemon/worker/row.h"
#include "daemon/worker/statements.h"
#include "daemon/worker/worker.h"

enum { NUMBER_SIZE = 24 };

static void
new_identity(struct worker *worker)
{
	struct member *member = &worker->member;
	struct procmsg_identity identity;

	do {
		if (getrandom(&member->id, sizeof(member->id), 0) !=
		    sizeof(member->id))
			abort();
		member->id &= INT64_MAX;
	} while (member->id == 0);
	member->registered = false;
	identity.worker_id = member->id;
	scoreboard_set_worker(worker->board, member->id);
	loop_send(worker->loop, PROCMSG_IDENTITY, &identity, sizeof(identity));
}

static void
learn_routes(struct worker *worker, const PGresult *result)
{
	for (int row = 0; row < PQntuples(result); row++) {
		const char *queue = PQgetvalue(result, row, REGISTER_QUEUE);
		const char *kind = PQgetvalue(result, row, REGISTER_KIND);

		(void)route_get(&worker->routes,
		    (int)row_int(result, row, REGISTER_ROUTE),
		    share_list_get_queue(&worker->queues, queue),
		    share_list_get(&worker->kinds, kind));
	}
	worker_share_out(worker);
}

static void
on_registered(PGresult *result, void *argument)
{
	struct worker *worker = argument;
	struct member *member = &worker->member;

	if (result == NULL)
		return;
	if (strcmp(pg_sqlstate(result), "MU001") == 0) {
		member_dead(worker);
	} else if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		member_retry_later(worker, "registering this worker", result);
	} else {
		learn_routes(worker, result);
		if (member->state == MEMBER_REGISTERING && member->registered) {
			member_set_state(worker, MEMBER_READING_BACK);
			read_back(worker);
		} else if (member->state == MEMBER_REGISTERING) {
			member_entered(worker);
		} else {
			turn_ask(worker);
		}
	}
}

static void
add_names(struct text *queues, struct text *kinds, const struct config *config)
{
	text_add_char(queues, '{');
	for (size_t i = 0; i < config->queue_count; i++) {
		const char *name = config->queues[i].name;

		if (i > 0)
			text_add_char(queues, ',');
		text_add_array_item(queues, name, strlen(name));
	}
	text_add_char(queues, '}');
	text_add_char(kinds, '{');
	for (size_t i = 0; i < config->handler_count; i++) {
		const char *kind = config->handlers[i].kind;

		if (i > 0)
			text_add_char(kinds, ',');
		text_add_array_item(kinds, kind, strlen(kind));
	}
	text_add_char(kinds, '}');
}

static void
send_registration(struct worker *worker)
{
	struct text queues = TEXT_EMPTY, kinds = TEXT_EMPTY;
	char id[NUMBER_SIZE], pid[NUMBER_SIZE], host[256] = "";
	const struct config *config = worker->config;
	bool has_session =
	    config->prepared_statements && config->direct_database == NULL;
	const char *values[] = {id, worker->instance, host, pid,
	    PACKAGE_VERSION, NULL, NULL, has_session ? "t" : "f"};

	snprintf(id, sizeof(id), "%" PRId64, worker->member.id);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	(void)gethostname(host, sizeof(host) - 1); /* unnamed is no harm */
	add_names(&queues, &kinds, worker->config);
	values[5] = text_string(&queues);
	values[6] = text_string(&kinds);
	member_send(worker, &statement_register, values, on_registered);
	text_free(&queues);
	text_free(&kinds);
}

void
registration_start(struct worker *worker)
{
	if (worker->member.id == 0)
		new_identity(worker);
	member_set_state(worker, MEMBER_REGISTERING);
	send_registration(worker);
}

void
member_register_again(struct worker *worker)
{
	if (member_is_in(worker))
		send_registration(worker);
}

static void
on_sleepers_changed(PGresult *result, void *argument)
{
	struct worker *worker = argument;

	if (result == NULL || PQresultStatus(result) == PGRES_TUPLES_OK)
		return;
	log_warning(
	    "the list of sleepers was not changed: %s", pg_message(result));
	sleeper_forget(&worker->turn.sleeper);
}

void
member_sleep(struct worker *worker)
{
	struct text queues = TEXT_EMPTY, kinds = TEXT_EMPTY;
	char id[NUMBER_SIZE];
	const char *values[] = {worker->instance, id, NULL};

	snprintf(id, sizeof(id), "%" PRId64, worker->member.id);
	add_names(&queues, &kinds, worker->config);
	values[2] = text_string(&queues);
	member_send(worker, &statement_sleep_on, values, on_sleepers_changed);
	text_free(&queues);
	text_free(&kinds);
}

void
member_wake(struct worker *worker)
{
	char id[NUMBER_SIZE];
	const char *values[] = {id};

	snprintf(id, sizeof(id), "%" PRId64, worker->member.id);
	member_send(worker, &statement_wake_up, values, on_sleepers_changed);
}
