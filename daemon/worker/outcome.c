#include "daemon/worker/outcome.h"

#include <inttypes.h>
#include <string.h>

#include "common/backoff.h"
#include "common/duration.h"
#include "common/log.h"
#include "common/text.h"
#include "daemon/worker/worker.h"

enum { LOG_ERROR_BYTES = 512 }; /* of an error text in one log line */

static struct verdict_case
case_of(const struct running *running, bool succeeded)
{
	const struct binding *binding = running->binding;
	const struct task_defaults *limits = &binding->config->limits;

	return (struct verdict_case){.attempt = running->task.attempt,
	    .snoozes = running->snoozes,
	    .max_attempts = running->max_attempts > 0 ? running->max_attempts
						      : limits->max_attempts,
	    .backoff = &limits->backoff,
	    .cancelled = running->cancelled,
	    .reason = running->reason,
	    .timeout_ms = running->task.timeout_ms,
	    .max_result_bytes = binding->generation->config->max_result_bytes,
	    .random = succeeded ? 0 : backoff_random()};
}

static void
log_cancelled(const struct running *running, const struct log_context *about)
{
	log_write(LOG_LEVEL_INFO, LOG_TASK_CANCELLED, about,
	    "task %" PRId64 " cancelled, as asked", running->task.id);
}

static void
log_failure(const struct running *running, const struct verdict_case *what,
    const struct log_context *about)
{
	const struct finish *finish = &running->finish;
	struct text line = TEXT_EMPTY;
	bool final = finish->outcome == 'f';

	text_addf(&line, "task %" PRId64 " (%s) ", running->task.id,
	    running->task.kind);
	if (finish->outcome == 'u')
		text_add_string(&line, "put off");
	else
		text_addf(&line, "failed, attempt %d of %d",
		    running->task.attempt, what->max_attempts);
	if (!final) {
		text_add_string(&line, ", again in ");
		duration_format(finish->delay_ms, &line);
	}
	text_add_string(&line, ": ");
	text_add_utf8(
	    &line, finish->error, finish->error_size, LOG_ERROR_BYTES);
	log_write(final ? LOG_LEVEL_WARNING : LOG_LEVEL_NOTICE, LOG_TASK_FAILED,
	    about, "%s", text_string(&line));
	text_free(&line);
}

static void
log_outcome(const struct running *running, const struct verdict_case *what,
    const char *trace_id)
{
	const struct task *task = &running->task;
	struct log_context about = {.task = task->id,
	    .flow = task->flow,
	    .attempt = task->attempt,
	    .kind = task->kind,
	    .queue = task->queue,
	    .trace_id = trace_id};

	switch (running->finish.outcome) {
	case 'c':
		log_cancelled(running, &about);
		break;
	case 'f':
	case 'r':
	case 'u':
		log_failure(running, what, &about);
		break;
	default: /* nothing at info for what goes well */
		break;
	}
}

/* A handler that cannot run is shown in status until its kind works again. */
static void
note_status(struct worker *worker, const struct running *running,
    const struct outcome *outcome)
{
	const struct share *kind = running->shares.kind;

	if (outcome->kind == OUTCOME_CANNOT_RUN) {
		worker->cannot_run = kind;
		loop_status(worker->loop, "handler of %s cannot run: %.*s",
		    kind->name, (int)outcome->error_size,
		    outcome->error == NULL ? "" : outcome->error);
	} else if (outcome->kind == OUTCOME_SUCCEEDED &&
		   worker->cannot_run == kind) {
		worker->cannot_run = NULL;
		loop_status(worker->loop, "%s", "");
	}
}

enum verdict
outcome_judge(struct worker *worker, struct running *running,
    const struct outcome *outcome)
{
	bool succeeded = outcome->kind == OUTCOME_SUCCEEDED;
	struct verdict_case what = case_of(running, succeeded);
	struct finish finish = {0};
	enum verdict verdict = verdict_of(&what, outcome, &finish);

	finish.ran_ms =
	    (int32_t)mono_ms_between(running->task.started, mono_now());
	note_status(worker, running, outcome);
	worker->held_bytes -= running_bytes(running);
	running_drop_data(running);
	running->finish = finish;
	worker->held_bytes += running_bytes(running);
	if (verdict == VERDICT_TELL)
		log_outcome(running, &what, outcome->trace_id);
	return verdict;
}
