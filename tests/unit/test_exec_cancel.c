/* How programs of handlers are told to end. */
#include <event2/event.h>

#include "tests/unit/trial.h"
#include "tests/unit/unit.h"

/* Cancels a task once it has said something, and waits for its end. */
static struct trial_task
run_and_cancel(const char *script, int64_t grace_ms)
{
	struct trial_task task = {0};

	trial_shell(script);
	trial_start(&task);
	while (trial_log_lines() == 0)
		event_base_loop(trial.base, EVLOOP_ONCE);
	trial_cancel(&task, grace_ms);
	trial_wait(1);
	return task;
}

START_TEST(F2_cancel_tells_and_the_program_ends)
{
	struct trial_task task = run_and_cancel("echo up >&2; sleep 60", 10000);

	ck_assert_int_eq(task.kind, OUTCOME_CANCELLED);
	ck_assert_str_eq(task.error, "killed by signal 15 (SIGTERM): up");
	ck_assert_int_lt(task.ran_ms, 5000);
	trial_task_free(&task);
}
END_TEST

START_TEST(F2_cancel_kills_after_the_grace_time)
{
	struct trial_task task = run_and_cancel(
	    "trap '' TERM; echo up >&2; sleep 60; sleep 60", 300);

	ck_assert_int_eq(task.kind, OUTCOME_CANCELLED);
	ck_assert_str_eq(task.error, "killed by signal 9 (SIGKILL): up");
	ck_assert_int_ge(task.ran_ms, 300);
	ck_assert_int_lt(task.ran_ms, 5000);
	trial_task_free(&task);
}
END_TEST

START_TEST(F2_cancel_without_grace_kills)
{
	struct trial_task task =
	    run_and_cancel("trap '' TERM; echo up >&2; sleep 60", 0);

	ck_assert_str_eq(task.error, "killed by signal 9 (SIGKILL): up");
	trial_task_free(&task);
}
END_TEST

START_TEST(F2_a_stopped_program_is_cancelled_too)
{
	struct trial_task task =
	    run_and_cancel("echo up >&2; kill -STOP $$", 10000);

	ck_assert_int_eq(task.kind, OUTCOME_CANCELLED);
	ck_assert_int_lt(task.ran_ms, 5000);
	trial_task_free(&task);
}
END_TEST

START_TEST(F2_a_shorter_grace_shortens)
{
	struct trial_task task = {0};

	trial_shell("trap '' TERM; echo up >&2; sleep 60; sleep 60");
	trial_start(&task);
	while (trial_log_lines() == 0)
		event_base_loop(trial.base, EVLOOP_ONCE);
	trial_cancel(&task, 60000);
	trial_cancel(&task, 60000);
	trial_turn(50);
	trial_cancel(&task, 100);
	trial_cancel(&task, 60000);
	trial_wait(1);
	ck_assert_int_eq(task.kind, OUTCOME_CANCELLED);
	ck_assert_int_lt(task.ran_ms, 5000);
	trial_task_free(&task);
}
END_TEST

START_TEST(F3_cancelling_is_no_error_in_the_log)
{
	struct trial_task task = run_and_cancel(
	    "trap 'exit 1' TERM; echo up >&2; while :; do :; done", 10000);

	ck_assert_int_eq(task.kind, OUTCOME_CANCELLED);
	ck_assert_int_eq(trial_log_lines(), 1);
	trial_task_free(&task);
}
END_TEST

START_TEST(who_finishes_within_the_grace_time_has_finished)
{
	struct trial_task task = run_and_cancel(
	    "trap '' TERM; echo up >&2; sleep 0.2; echo 5", 10000);

	ck_assert_int_eq(task.kind, OUTCOME_SUCCEEDED);
	ck_assert_str_eq(task.result, "5\n");
	trial_task_free(&task);
}
END_TEST

START_TEST(F2_cancelled_before_it_started)
{
	struct trial_task task = {0};

	trial_shell("echo ran >&2");
	trial_start(&task);
	trial_cancel(&task, 100);
	trial_cancel(&task, 0);
	ck_assert(!task.done);
	trial_wait(1);
	ck_assert_int_eq(task.kind, OUTCOME_CANCELLED);
	ck_assert_int_eq(trial_log_lines(), 0);
	trial_task_free(&task);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("exec_cancel");
	TCase *tests = trial_case(suite, "cancel");

	tcase_add_test(tests, F2_cancel_tells_and_the_program_ends);
	tcase_add_test(tests, F2_cancel_kills_after_the_grace_time);
	tcase_add_test(tests, F2_cancel_without_grace_kills);
	tcase_add_test(tests, F2_a_stopped_program_is_cancelled_too);
	tcase_add_test(tests, F2_a_shorter_grace_shortens);
	tcase_add_test(tests, F2_cancelled_before_it_started);
	tcase_add_test(tests, F3_cancelling_is_no_error_in_the_log);
	tcase_add_test(tests, who_finishes_within_the_grace_time_has_finished);
	return unit_run(suite);
}
