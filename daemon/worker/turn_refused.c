#include "daemon/worker/turn_refused.h"

#include <inttypes.h>
#include <string.h>

#include "common/log.h"
#include "daemon/worker/turn_answer.h"
#include "daemon/worker/verdict.h"
#include "daemon/worker/worker.h"

/* Data exception, integrity constraint, program limit exceeded: a value. */
static bool
blames_a_value(const char *sqlstate)
{
	return strncmp(sqlstate, "22", 2) == 0 ||
	       strncmp(sqlstate, "23", 2) == 0 ||
	       strncmp(sqlstate, "54", 2) == 0;
}

/* Its result or error is refused: first the task fails with what PostgreSQL
 * said, then, if that is refused too, with words of ours alone. */
static void
blame(struct worker *worker, struct running *running, const char *sqlstate,
    const char *message)
{
	struct log_context context = {.task = running->task.id,
	    .flow = running->task.flow,
	    .attempt = running->task.attempt};

	worker->held_bytes -= running_bytes(running);
	if (running->refused++ == 0)
		verdict_fail(&running->finish,
		    "the outcome was refused by PostgreSQL: %s (SQLSTATE %s)",
		    message, sqlstate);
	else
		verdict_fail(
		    &running->finish, "the outcome was refused by PostgreSQL");
	worker->held_bytes += running_bytes(running);
	log_write(LOG_LEVEL_WARNING, LOG_TASK_FAILED, &context,
	    "the outcome of task %" PRId64
	    " was refused: %s (SQLSTATE %s); it fails for good",
	    running->task.id, message, sqlstate);
}

static void
hold(struct worker *worker)
{
	struct turn *turn = &worker->turn;

	turn->state = TURN_HOLDING;
	turn_timer(worker, backoff_next(&turn->backoff, backoff_random()));
}

/* Even the plainest outcome is refused: the row is beyond us. Its lease stays
 * until somebody rescues it. */
static void
give_up(struct worker *worker, struct running *running)
{
	log_write(LOG_LEVEL_ERROR, LOG_UNRECORDED, NULL,
	    "the outcome of task %" PRId64 " cannot be recorded",
	    running->task.id);
	run_forget(worker, running);
}

static void
search(struct worker *worker, size_t count, const char *sqlstate,
    const char *message)
{
	enum { TRIES = 3 };
	struct running *first = TAILQ_FIRST(&worker->finished);

	turn_ask(worker);
	if (!bisect_refused(&worker->turn.bisect, count))
		return;
	if (first->refused < TRIES)
		blame(worker, first, sqlstate, message);
	else
		give_up(worker, first);
}

void
turn_refused(struct worker *worker, const PGresult *result)
{
	const char *sqlstate = pg_sqlstate(result);
	const char *message = pg_message(result);
	size_t count = worker->turn.batch.count;

	turn_unsend(worker);
	if (strcmp(sqlstate, "MU001") == 0) {
		member_dead(worker);
		return;
	}
	if (count > 0 && blames_a_value(sqlstate)) {
		search(worker, count, sqlstate, message);
		return;
	}
	log_warning(
	    "turn refused, trying again: %s (SQLSTATE %s)", message, sqlstate);
	if (strcmp(sqlstate, "25006") == 0 || strcmp(sqlstate, "MU004") == 0)
		pg_reset(worker->pg, "the server takes no writes");
	else
		hold(worker);
}
