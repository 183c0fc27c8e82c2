#include "daemon/worker/verdict.h"

#include <string.h>

#include "tests/unit/unit.h"

static const struct backoff_config backoff = {
    .first_ms = 1000, .max_ms = 60000, .factor = 2};

static struct verdict_case
usual(void)
{
	return (struct verdict_case){.attempt = 1,
	    .max_attempts = 3,
	    .backoff = &backoff,
	    .timeout_ms = 90000,
	    .max_result_bytes = 100,
	    .random = 0.5};
}

static struct finish
told(const struct verdict_case *what, enum outcome_kind kind,
    const char *result, const char *error)
{
	struct outcome outcome = {.kind = kind,
	    .result = result,
	    .result_size = result == NULL ? 0 : strlen(result),
	    .error = error,
	    .error_size = error == NULL ? 0 : strlen(error),
	    .after_ms = -1};
	struct finish finish = {0};

	ck_assert_int_eq(verdict_of(what, &outcome, &finish), VERDICT_TELL);
	return finish;
}

static void
release(struct finish *finish)
{
	free(finish->result);
	free(finish->error);
	*finish = (struct finish){0};
}

START_TEST(success_keeps_its_result)
{
	struct verdict_case what = usual();
	struct finish finish = told(&what, OUTCOME_SUCCEEDED, "{}", NULL);

	ck_assert_int_eq(finish.outcome, 's');
	ck_assert_str_eq(finish.result, "{}");
	ck_assert_ptr_null(finish.error);
	release(&finish);
	finish = told(&what, OUTCOME_SUCCEEDED, NULL, NULL);
	ck_assert_ptr_null(finish.result);
	release(&finish);
}
END_TEST

START_TEST(g1_results_that_cannot_be_stored_fail_the_task)
{
	struct verdict_case what = usual();
	char large[102];
	struct finish finish = told(&what, OUTCOME_SUCCEEDED, "\xff", NULL);

	ck_assert_int_eq(finish.outcome, 'f');
	ck_assert_str_eq(finish.error, "the result is not valid UTF-8");
	ck_assert_ptr_null(finish.result);
	release(&finish);
	memset(large, '1', sizeof(large));
	large[101] = '\0';
	finish = told(&what, OUTCOME_SUCCEEDED, large, NULL);
	ck_assert_int_eq(finish.outcome, 'f');
	ck_assert_str_eq(finish.error,
	    "the result has 101 bytes, more than max_result (100)");
	release(&finish);
}
END_TEST

START_TEST(g2_attempts_are_retried_with_growing_pauses_up_to_the_limit)
{
	struct verdict_case what = usual();
	struct finish finish = told(&what, OUTCOME_FAILED, NULL, "no");

	ck_assert_int_eq(finish.outcome, 'r');
	ck_assert_int_eq(finish.delay_ms, 1000);
	ck_assert_str_eq(finish.error, "no");
	release(&finish);
	what.attempt = 2;
	finish = told(&what, OUTCOME_FAILED, NULL, "no");
	ck_assert_int_eq(finish.delay_ms, 2000);
	release(&finish);
	what.attempt = 3;
	finish = told(&what, OUTCOME_FAILED, NULL, "no");
	ck_assert_int_eq(finish.outcome, 'f');
	ck_assert_int_eq(finish.delay_ms, 0);
	release(&finish);
}
END_TEST

START_TEST(g2_a_failed_attempt_may_say_when_it_wants_to_be_repeated)
{
	struct verdict_case what = usual();
	struct outcome outcome = {
	    .kind = OUTCOME_FAILED, .error = "no", .error_size = 2};
	static const struct {
		int64_t after_ms, delay_ms;
	} wishes[] = {{0, 0}, {30000, 30000}, {INT64_MAX, 24 * 60 * 60 * 1000}};

	for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
		struct finish finish = {0};

		outcome.after_ms = wishes[i].after_ms;
		ck_assert_int_eq(
		    verdict_of(&what, &outcome, &finish), VERDICT_TELL);
		ck_assert_int_eq(finish.outcome, 'r');
		ck_assert_int_eq(finish.delay_ms, wishes[i].delay_ms);
		release(&finish);
	}
}
END_TEST

START_TEST(g2_a_hard_failure_is_final_at_once)
{
	struct verdict_case what = usual();
	struct finish finish = told(&what, OUTCOME_FAILED_HARD, NULL, NULL);

	ck_assert_int_eq(finish.outcome, 'f');
	ck_assert_str_eq(finish.error, "failed without saying why");
	release(&finish);
}
END_TEST

START_TEST(g1_error_texts_become_valid_text)
{
	struct verdict_case what = usual();
	struct outcome outcome = {.kind = OUTCOME_FAILED,
	    .error = "a\0b\xff",
	    .error_size = 4,
	    .after_ms = -1};
	struct finish finish = {0};

	ck_assert_int_eq(verdict_of(&what, &outcome, &finish), VERDICT_TELL);
	ck_assert(utf8_is_valid(finish.error, finish.error_size));
	ck_assert_str_eq(finish.error, "a\xef\xbf\xbd"
				       "b\xef\xbf\xbd");
	release(&finish);
}
END_TEST

START_TEST(g2_uncharged_repeats_end_some_day)
{
	struct verdict_case what = usual();
	struct outcome later = {.kind = OUTCOME_TRY_LATER, .after_ms = 77};
	struct finish finish = {0};

	what.attempt = 3;
	ck_assert_int_eq(verdict_of(&what, &later, &finish), VERDICT_TELL);
	ck_assert_int_eq(finish.outcome, 'u');
	ck_assert_int_eq(finish.delay_ms, 77);
	release(&finish);
	what.snoozes = 1;
	finish = told(&what, OUTCOME_CANNOT_RUN, NULL, "exit 127");
	ck_assert_int_eq(finish.outcome, 'u');
	ck_assert_int_eq(finish.delay_ms, 2000);
	release(&finish);
	what.snoozes = VERDICT_SNOOZES;
	finish = told(&what, OUTCOME_CANNOT_RUN, NULL, "exit 127");
	ck_assert_int_eq(finish.outcome, 'f');
	ck_assert_str_eq(
	    finish.error, "given up after 100 uncharged tries: exit 127");
	release(&finish);
}
END_TEST

START_TEST(f2_a_cancelled_task_is_cancelled_whatever_it_says)
{
	struct verdict_case what = usual();
	struct finish finish;

	what.cancelled = true;
	what.reason = CANCEL_ASKED;
	finish = told(&what, OUTCOME_CANCELLED, NULL, NULL);
	ck_assert_int_eq(finish.outcome, 'c');
	release(&finish);
	finish = told(&what, OUTCOME_FAILED, NULL, "signal 15");
	ck_assert_int_eq(finish.outcome, 'c');
	ck_assert_str_eq(finish.error, "cancelled: signal 15");
	release(&finish);
	finish = told(&what, OUTCOME_SUCCEEDED, "1", NULL);
	ck_assert_int_eq(finish.outcome, 's');
	release(&finish);
}
END_TEST

START_TEST(f1_a_time_limit_fails_the_attempt)
{
	struct verdict_case what = usual();
	struct finish finish;

	what.cancelled = true;
	what.reason = CANCEL_TIMEOUT;
	finish = told(&what, OUTCOME_CANCELLED, NULL, "last words");
	ck_assert_int_eq(finish.outcome, 'r');
	ck_assert_str_eq(finish.error, "timed out after 1m30s: last words");
	release(&finish);
	what.attempt = 3;
	finish = told(&what, OUTCOME_CANCELLED, NULL, NULL);
	ck_assert_int_eq(finish.outcome, 'f');
	release(&finish);
}
END_TEST

START_TEST(c4_a_shutdown_hands_back_uncharged)
{
	struct verdict_case what = usual();
	struct finish finish;

	what.attempt = 3;
	what.cancelled = true;
	what.reason = CANCEL_SHUTDOWN;
	finish = told(&what, OUTCOME_CANCELLED, NULL, "signal 15");
	ck_assert_int_eq(finish.outcome, 'b');
	ck_assert_ptr_null(finish.error);
	release(&finish);
}
END_TEST

START_TEST(e2_what_is_fenced_or_recorded_is_not_told)
{
	struct verdict_case what = usual();
	struct outcome outcome = {.kind = OUTCOME_SUCCEEDED};
	struct finish finish = {0};

	what.cancelled = true;
	what.reason = CANCEL_FENCED;
	ck_assert_int_eq(verdict_of(&what, &outcome, &finish), VERDICT_DROP);
	outcome.kind = OUTCOME_RECORDED;
	ck_assert_int_eq(
	    verdict_of(&what, &outcome, &finish), VERDICT_RECORDED);
	ck_assert_int_eq(finish.outcome, 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("worker_verdict");
	TCase *tests = unit_case(suite, "outcomes");

	tcase_add_test(tests, success_keeps_its_result);
	tcase_add_test(tests, g1_results_that_cannot_be_stored_fail_the_task);
	tcase_add_test(
	    tests, g2_attempts_are_retried_with_growing_pauses_up_to_the_limit);
	tcase_add_test(
	    tests, g2_a_failed_attempt_may_say_when_it_wants_to_be_repeated);
	tcase_add_test(tests, g2_a_hard_failure_is_final_at_once);
	tcase_add_test(tests, g1_error_texts_become_valid_text);
	tcase_add_test(tests, g2_uncharged_repeats_end_some_day);
	tests = unit_case(suite, "cancelled");
	tcase_add_test(
	    tests, f2_a_cancelled_task_is_cancelled_whatever_it_says);
	tcase_add_test(tests, f1_a_time_limit_fails_the_attempt);
	tcase_add_test(tests, c4_a_shutdown_hands_back_uncharged);
	tcase_add_test(tests, e2_what_is_fenced_or_recorded_is_not_told);
	return unit_run(suite);
}
