/* What a member says of its tasks, and what becomes of them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/handlers/pool_member_parts.h"

struct pool_task *
member_find(const struct pool_member *member, int64_t id)
{
	struct pool_task *task;

	TAILQ_FOREACH(task, &member->tasks, link)
	if (task->task->id == id)
		return task;
	return NULL;
}

bool
member_has_answered(const struct pool_member *member, int64_t id)
{
	for (int i = 0; i < MEMBER_RECENT; i++)
		if (member->parts->recent[i] == id)
			return true;
	return false;
}

static void
leave(struct pool_member *member, struct pool_task *task)
{
	struct pool_member_parts *parts = member->parts;

	parts->recent[parts->recent_count++ % MEMBER_RECENT] = task->task->id;
	TAILQ_REMOVE(&member->tasks, task, link);
	member->running--;
	member->told -= task->state == POOL_TASK_TOLD;
	member->answered++;
	if (member->running > 0)
		return;
	member->idle_since = mono_now();
	if (member->state == MEMBER_DRAINING)
		member_dismiss(member);
}

static void
done(struct pool_member *member, struct pool_task *task,
    const struct pool_message *message)
{
	struct outcome outcome = {.kind = OUTCOME_SUCCEEDED,
	    .result = message->data.at,
	    .result_size = message->data.size,
	    .after_ms = -1};
	char error[128];

	if (message->unfit == NULL) {
		pool_task_report(member->pool, task, &outcome);
		return;
	}
	(void)snprintf(error, sizeof(error), "the result %s", message->unfit);
	pool_task_report_error(
	    member->pool, task, OUTCOME_FAILED_HARD, error, -1);
}

static void
fail(struct pool_member *member, struct pool_task *task,
    const struct pool_message *message)
{
	struct text error = TEXT_EMPTY;
	struct outcome outcome = {
	    .kind = message->retry ? OUTCOME_FAILED : OUTCOME_FAILED_HARD,
	    .after_ms = message->after_ms};

	(void)pool_span_string(message->text, &error);
	outcome.error = error.data;
	outcome.error_size = error.length;
	pool_task_report(member->pool, task, &outcome);
	text_free(&error);
}

static void
progress(struct pool_member *member, struct pool_task *task,
    const struct pool_message *message)
{
	const struct handler_host *host = &member->pool->host;
	struct text note = TEXT_EMPTY;

	(void)pool_span_string(message->text, &note);
	host->on_progress(task->task, message->fraction, text_string(&note),
	    note.length, host->argument);
	text_free(&note);
}

static void
answer(struct pool_member *member, struct pool_task *task,
    const struct pool_message *message)
{
	leave(member, task);
	if (message->type == POOL_DONE)
		done(member, task, message);
	else
		fail(member, task, message);
	pool_member_has_worked(member);
}

static void
unknown(struct pool_member *member, const struct pool_message *message)
{
	bool answers = message->type == POOL_DONE || message->type == POOL_FAIL;

	if (!member_has_answered(member, message->id))
		member_break(member,
		    "spoke of task %" PRId64 ", which it does not have",
		    message->id);
	else if (answers)
		member_break(member, "answered task %" PRId64 " a second time",
		    message->id);
	/* else a thread of it was late, ignoring */
}

void
member_take_message(
    struct pool_member *member, const struct pool_message *message)
{
	const struct handler_host *host = &member->pool->host;
	struct pool_task *task;

	if (message->type == POOL_HELLO) {
		member_ready(member, message);
		return;
	}
	task = member_find(member, message->id);
	if (task == NULL)
		unknown(member, message);
	else if (task->end > member->parts->io.written)
		member_break(member,
		    "spoke of task %" PRId64 " before it had read of it",
		    message->id);
	else if (message->type == POOL_PROGRESS)
		progress(member, task, message);
	else if (message->type == POOL_CHUNK)
		host->on_chunk(task->task, message->data.at, message->data.size,
		    host->argument);
	else
		answer(member, task, message);
}
