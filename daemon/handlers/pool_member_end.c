/* The end of a member: what it had said, why it ended, whose fault it was, and
 * what becomes of the tasks it ran. */
#include <event2/event.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "daemon/handlers/pool_member_parts.h"
#include "daemon/handlers/process_words.h"

/* How a member's end looks to its tasks. */
struct ending {
	struct text words;
	enum outcome_kind kind; /* of tasks that nobody had cancelled */
};

static void
describe(const struct pool_member *member, const struct process_result *result,
    struct ending *ret_ending)
{
	const struct pool_member_parts *parts = member->parts;
	struct text *words = &ret_ending->words;

	ret_ending->kind = OUTCOME_TRY_LATER;
	switch (parts->cause) {
	case CAUSE_NONE:
		ret_ending->kind = OUTCOME_FAILED;
		process_words(result, words);
		break;
	case CAUSE_BROKE:
		ret_ending->kind = OUTCOME_FAILED;
		text_addf(words, "its process broke the protocol: it %s",
		    text_string(&parts->wrong));
		process_add_last_words(result, words);
		break;
	case CAUSE_CANCEL:
		text_addf(words,
		    "its process had to be ended because of task %" PRId64
		    ", which was cancelled and did not end",
		    parts->blame);
		break;
	case CAUSE_DRAIN:
		text_add_string(words, "its process was told to drain, and "
				       "ended without an answer");
		break;
	}
}

static bool
has_ended_well(const struct process_result *result)
{
	return result->code == CLD_EXITED && result->status == 0;
}

static bool
has_crashed(
    const struct pool_member *member, const struct process_result *result)
{
	enum member_cause cause = member->parts->cause;

	return cause == CAUSE_BROKE ||
	       (cause == CAUSE_NONE &&
		   (!has_ended_well(result) || member->running > 0 ||
		       member->answered == 0));
}

static void
log_end(const struct pool_member *member, const struct process_result *result)
{
	struct log_context context = {.kind = member->pool->kind};
	enum member_cause cause = member->parts->cause;
	enum log_level level = LOG_LEVEL_INFO;
	struct text words = TEXT_EMPTY;

	process_words(result, &words);
	if (cause == CAUSE_NONE &&
	    (!has_ended_well(result) || member->running > 0 ||
		member->concurrency == 0))
		level = LOG_LEVEL_WARNING;
	else if (cause == CAUSE_CANCEL)
		level = LOG_LEVEL_NOTICE;
	if (cause != CAUSE_BROKE)
		log_write(level, LOG_PLAIN, &context,
		    "process %d of %s has ended after %" PRId64
		    " tasks, %d were running: %s",
		    (int)member->pid, member->pool->kind, member->answered,
		    member->running, text_string(&words));
	text_free(&words);
}

static void
report(struct handler *pool, struct pool_task *task,
    const struct ending *ending, const struct process_result *result)
{
	struct text words = TEXT_EMPTY;
	bool told = task->state == POOL_TASK_TOLD;

	if (told)
		process_words(result, &words);
	pool_task_report_error(pool, task,
	    told ? OUTCOME_CANCELLED : ending->kind,
	    text_string(told ? &words : &ending->words),
	    ending->kind == OUTCOME_TRY_LATER ? 0 : -1);
	text_free(&words);
}

static void
report_all(struct handler *pool, struct pool_task_list *tasks,
    const struct ending *ending, const struct process_result *result)
{
	struct pool_task *task;

	while ((task = TAILQ_FIRST(tasks)) != NULL) {
		TAILQ_REMOVE(tasks, task, link);
		report(pool, task, ending, result);
	}
}

static void
close_parts(struct pool_member *member)
{
	struct pool_member_parts *parts = member->parts;

	member_io_close(member);
	event_free(parts->timer);
	if (parts->group >= 0)
		scoreboard_group_end(
		    member->pool->host.scoreboard, parts->group);
	text_free(&parts->wrong);
	parts->magic = 0;
	free(parts);
}

void
member_on_end(const struct process_result *result, void *argument)
{
	struct pool_member *member = member_checked(argument);
	struct handler *pool = member->pool;
	struct ending ending = {.words = TEXT_EMPTY};
	struct pool_task_list tasks = TAILQ_HEAD_INITIALIZER(tasks);
	bool was_ready = member->concurrency != 0, crashed, failed;

	member_io_last_words(member);
	crashed = has_crashed(member, result);
	failed = crashed && member->answered == 0;
	log_end(member, result);
	describe(member, result, &ending);
	if (member->state <= MEMBER_READY)
		pool_member_leaves(member, member->state);
	TAILQ_REMOVE(&pool->members, member, link);
	TAILQ_CONCAT(&tasks, &member->tasks, link);
	close_parts(member);
	free(member);
	pool->host.catch_up(pool->host.argument);
	report_all(pool, &tasks, &ending, result);
	pool_member_is_gone(pool, was_ready,
	    crashed ? text_string(&ending.words) : NULL, failed);
	text_free(&ending.words);
}
