/* How a task leaves: refused, cancelled, fenced, or with its outcome. */
#include "daemon/worker/outcome.h"
#include "daemon/worker/run_parts.h"
#include "daemon/worker/stream.h"
#include "daemon/worker/worker.h"

static struct running_list *
list_of(struct worker *worker, const struct running *running)
{
	switch (running->state) {
	case RUNNING_FETCHING:
		return &worker->fetching;
	case RUNNING_STARTED:
		return &worker->started;
	case RUNNING_FINISHED:
		return &worker->finished;
	default:
		return &worker->sent;
	}
}

/* Out of the list of its state; a slot that it had is free, and the next of its
 * chain may have it. */
static void
leave_state(struct worker *worker, struct running *running)
{
	struct mono now = mono_now();
	bool has_slot = running->state == RUNNING_FETCHING ||
			running->state == RUNNING_STARTED;

	if (running->state == RUNNING_CLAIMED)
		return;
	if (running->state == RUNNING_FOLLOWING) {
		run_leave_chain(worker, running);
		return;
	}
	if (running->state == RUNNING_BACKLOG) {
		backlog_remove(&worker->run.backlog, running);
		share_set_untold(&running->shares, running->expect_us);
		share_set_released(&running->shares);
		run_pass_on(worker, running);
		return;
	}
	TAILQ_REMOVE(list_of(worker, running), running, link);
	if (running->state == RUNNING_FINISHED)
		worker->finished_count--;
	if (!has_slot)
		return;
	worker->run.slots--;
	share_set_ended(&running->shares, running->slot_at, now);
	if (running->expect_us > 0)
		share_set_expected(&running->shares, running->expect_us,
		    mono_us_between(running->slot_at, now));
	share_set_released(&running->shares);
	worker_generation_drop(running->binding);
	if (running->binding->generation != TAILQ_FIRST(&worker->generations))
		worker->capacity_changed = true;
	running->binding = NULL;
	run_pass_on(worker, running);
}

static void
to_finished(struct worker *worker, struct running *running)
{
	running->state = RUNNING_FINISHED;
	TAILQ_INSERT_TAIL(&worker->finished, running, link);
	worker->finished_count++;
	if (running->task.flow != 0)
		worker->finished_flow = true;
	if (!running->passed_on)
		worker->finished_presses = true;
	turn_kick(worker);
}

void
run_refuse(
    struct worker *worker, struct running *running, const struct finish *finish)
{
	worker->held_bytes -= running_bytes(running);
	running_drop_data(running);
	running->finish = *finish;
	worker->held_bytes += running_bytes(running);
	leave_state(worker, running);
	to_finished(worker, running);
}

void
run_forget(struct worker *worker, struct running *running)
{
	leave_state(worker, running);
	worker->held_bytes -= running_bytes(running);
	running_table_remove(&worker->table, running);
	running_free(running);
}

/* Its handler has it: told at most once for a reason, but again when the time
 * to end gets shorter or the task is no longer ours. */
static void
cancel_started(
    struct running *running, enum cancel_reason reason, int64_t grace_ms)
{
	bool again = grace_ms >= 0 || reason == CANCEL_FENCED;

	if (running->cancelled && !again)
		return;
	if (!running->cancelled || reason == CANCEL_FENCED)
		running->reason = reason;
	running->cancelled = true;
	running->limit.us = 0;
	running->binding->ops->cancel(running->binding->handler, &running->task,
	    running->reason, grace_ms >= 0 ? grace_ms : running->task.grace_ms);
}

void
run_cancel(struct worker *worker, struct running *running,
    enum cancel_reason reason, int64_t grace_ms)
{
	struct finish cancelled = {.outcome = 'c'};

	switch (running->state) {
	case RUNNING_STARTED:
		cancel_started(running, reason, grace_ms);
		break;
	case RUNNING_FOLLOWING:
	case RUNNING_BACKLOG:
	case RUNNING_FETCHING:
		if (reason == CANCEL_SHUTDOWN)
			run_give_back_one(worker, running);
		else
			run_refuse(worker, running, &cancelled);
		break;
	default: /* ended already */
		break;
	}
}

void
run_fenced(struct worker *worker, struct running *running)
{
	if (running->state != RUNNING_STARTED) {
		run_forget(worker, running);
		return;
	}
	running_table_remove(&worker->table, running);
	cancel_started(running, CANCEL_FENCED, -1);
}

void
run_done(struct task *task, const struct outcome *outcome, void *argument)
{
	struct worker *worker = argument;
	struct running *running = running_of(task);
	enum verdict verdict;

	if (worker->run.starting == running)
		worker->run.starting = NULL;
	running->limit.us = 0;
	scoreboard_task_end(worker->board, task->scoreboard_slot);
	verdict = outcome_judge(worker, running, outcome);
	if (verdict == VERDICT_RECORDED || running->finish.outcome == 's')
		share_learn_length(running->shares.kind,
		    mono_us_between(task->started, mono_now()));
	stream_end(worker, running, verdict);
	if (verdict == VERDICT_TELL) {
		leave_state(worker, running);
		to_finished(worker, running);
		return;
	}
	if (verdict == VERDICT_RECORDED) {
		scoreboard_count(worker->board, SCOREBOARD_SUCCEEDED, 1);
		running->finish.outcome = 's';
		announce_recorded(worker, running, mono_now());
	}
	run_forget(worker, running);
	turn_kick(worker);
}
