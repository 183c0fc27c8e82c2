/*
 * After a reconnect: what does this worker hold, by the database's books? A
 * turn whose answer was lost may have taken effect or not; the leases tell.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/text.h"
#include "daemon/worker/member_parts.h"
#include "daemon/worker/row.h"
#include "daemon/worker/statements.h"
#include "daemon/worker/worker.h"

enum { NUMBER_SIZE = 24 };

/* A lease that we know nothing of: the turn that claimed it got no answer. */
static void
release(struct worker *worker, int64_t lease, int64_t id)
{
	struct running *running = running_new(id, lease);
	struct finish back = {.outcome = 'b'};

	running->seen = worker->member.round;
	running_table_add(&worker->table, running);
	run_refuse(worker, running, &back);
}

static void
adopt(struct worker *worker, const PGresult *result)
{
	worker->member.round++;
	for (int row = 0; row < PQntuples(result); row++) {
		int64_t lease = row_int(result, row, 0);
		int64_t id = row_int(result, row, 1);
		struct running *running =
		    running_table_find(&worker->table, id);

		if (running == NULL) {
			release(worker, lease, id);
			continue;
		}
		running->task.lease = lease;
		running->seen = worker->member.round;
	}
}

/* Calls `each` for what the leases did not name. */
static void
each_unseen(struct worker *worker, struct running_list *list,
    void (*each)(struct worker *worker, struct running *running))
{
	struct running *running, *next;

	for (running = TAILQ_FIRST(list); running != NULL; running = next) {
		next = TAILQ_NEXT(running, link);
		if (running->seen != worker->member.round)
			each(worker, running);
	}
}

/* Told in a turn without an answer, and no longer ours: most likely it was
 * recorded. Its state will tell. */
static void
keep_unsure(struct worker *worker, struct running *running)
{
	struct member *member = &worker->member;

	if (running->finish.outcome != 'b' && !running->maybe_recorded) {
		member->unsure = reallocarray(member->unsure,
		    (size_t)member->unsure_count + 1,
		    sizeof(member->unsure[0]));
		if (member->unsure == NULL)
			abort();
		member->unsure[member->unsure_count++] = running->task.id;
	}
	run_forget(worker, running);
}

static void
count_for_nothing(struct worker *worker, struct running *running)
{
	struct log_context about = {.task = running->task.id};

	if (running->finish.outcome != 'b' && !running->maybe_recorded) {
		scoreboard_count(worker->board, SCOREBOARD_FENCED, 1);
		log_write(LOG_LEVEL_WARNING, LOG_PLAIN, &about,
		    "task %" PRId64 " is fenced: it was taken from this "
		    "worker, and its outcome counts for nothing",
		    running->task.id);
	}
	run_forget(worker, running);
}

static void
fence(struct worker *worker, struct running *running)
{
	struct log_context about = {.task = running->task.id};

	log_write(LOG_LEVEL_WARNING, LOG_PLAIN, &about,
	    "task %" PRId64 " is fenced: it was taken from this worker "
	    "while it ran; cancelling it",
	    running->task.id);
	run_fenced(worker, running);
}

void
read_back_void(struct worker *worker, struct running_list *list)
{
	struct running *running;

	while ((running = TAILQ_FIRST(list)) != NULL)
		count_for_nothing(worker, running);
}

static void
drop_unseen(struct worker *worker)
{
	struct chain *chain, *after;
	struct backlog_lane *lane, *next;

	/* Followers before those they follow: none is to be next of these. */
	for (chain = TAILQ_FIRST(&worker->run.chains); chain != NULL;
	     chain = after) {
		after = TAILQ_NEXT(chain, link);
		each_unseen(worker, &chain->followers, run_forget);
	}
	each_unseen(worker, &worker->sent, keep_unsure);
	each_unseen(worker, &worker->finished, count_for_nothing);
	each_unseen(worker, &worker->fetching, run_forget);
	each_unseen(worker, &worker->started, fence);
	for (lane = TAILQ_FIRST(&worker->run.backlog); lane != NULL;
	     lane = next) {
		next = TAILQ_NEXT(lane, link);
		each_unseen(worker, &lane->tasks, run_forget);
	}
}

static bool
is_open(const char *state)
{
	return strcmp(state, "ready") == 0 || strcmp(state, "running") == 0;
}

static void
count_state(struct worker *worker, const char *state)
{
	if (strcmp(state, "succeeded") == 0)
		scoreboard_count(worker->board, SCOREBOARD_SUCCEEDED, 1);
	else if (strcmp(state, "failed") == 0)
		scoreboard_count(worker->board, SCOREBOARD_FAILED, 1);
}

static void
on_states(PGresult *result, void *argument)
{
	struct worker *worker = argument;
	struct member *member = &worker->member;
	int open = 0;

	if (result == NULL)
		return;
	for (int row = 0; row < PQntuples(result); row++) {
		const char *state = PQgetvalue(result, row, 1);

		open += is_open(state);
		count_state(worker, state);
	}
	log_info("the answer to a turn was lost; of its %d outcomes %d had "
		 "been recorded, %d tasks are open",
	    member->unsure_count, PQntuples(result) - open, open);
	member->unsure_count = 0;
	member_entered(worker);
}

static void
ask_states(struct worker *worker)
{
	struct member *member = &worker->member;
	struct text ids = TEXT_EMPTY;
	const char *values[1];

	for (int i = 0; i < member->unsure_count; i++) {
		text_add_char(&ids, i == 0 ? '{' : ',');
		text_add_int(&ids, member->unsure[i]);
	}
	text_add_char(&ids, '}');
	values[0] = text_string(&ids);
	member_send(worker, &statement_states, values, on_states);
	text_free(&ids);
}

static void
on_leases(PGresult *result, void *argument)
{
	struct worker *worker = argument;

	if (result == NULL)
		return;
	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		member_retry_later(worker, "reading the leases back", result);
		return;
	}
	adopt(worker, result);
	drop_unseen(worker);
	turn_unsend(worker);
	worker->turn.unanswered = false;
	if (worker->member.unsure_count > 0)
		ask_states(worker);
	else
		member_entered(worker);
}

void
read_back(struct worker *worker)
{
	char id[NUMBER_SIZE];
	const char *values[] = {id};

	snprintf(id, sizeof(id), "%" PRId64, worker->member.id);
	member_send(worker, &statement_leases, values, on_leases);
}

void
read_back_free(struct worker *worker)
{
	free(worker->member.unsure);
	worker->member.unsure = NULL;
	worker->member.unsure_count = 0;
}
