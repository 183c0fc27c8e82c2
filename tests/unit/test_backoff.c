#include "common/backoff.h"
#include "common/config.h"

#include "tests/unit/unit.h"

static const struct backoff_config usual = {
    .first_ms = 1000, .max_ms = 3600000, .factor = 2, .jitter = 0.2};

START_TEST(g2_task_pauses_grow_by_the_factor)
{
	ck_assert_int_eq(backoff_task_ms(&usual, 1, 0.5), 1000);
	ck_assert_int_eq(backoff_task_ms(&usual, 2, 0.5), 2000);
	ck_assert_int_eq(backoff_task_ms(&usual, 5, 0.5), 16000);
	ck_assert_int_eq(backoff_task_ms(&usual, 12, 0.5), 2048000);
}
END_TEST

START_TEST(g2_task_pauses_have_a_limit)
{
	ck_assert_int_eq(backoff_task_ms(&usual, 13, 0.5), 3600000);
	ck_assert_int_eq(backoff_task_ms(&usual, 1000000000, 0.5), 3600000);
}
END_TEST

START_TEST(g2_task_pauses_are_moved_by_the_jitter)
{
	ck_assert_int_eq(backoff_task_ms(&usual, 1, 0), 800);
	ck_assert_int_eq(backoff_task_ms(&usual, 1, 0.9999999), 1200);
	ck_assert_int_eq(backoff_task_ms(&usual, 2, 0.25), 1800);
}
END_TEST

START_TEST(g2_task_pauses_without_growth)
{
	struct backoff_config flat = {
	    .first_ms = 50, .max_ms = 10, .factor = 1};
	struct backoff_config none = {.max_ms = 1000, .factor = 2};

	ck_assert_int_eq(backoff_task_ms(&flat, 1000000000, 0.7), 10);
	ck_assert_int_eq(backoff_task_ms(&none, 3, 0.7), 0);
}
END_TEST

START_TEST(connection_pauses_stay_in_bounds)
{
	struct backoff backoff = {.first_ms = 100, .max_ms = 5000};
	int64_t last = 100;

	for (int i = 0; i < 1000; i++) {
		int64_t pause = backoff_next(&backoff, backoff_random());

		ck_assert_int_ge(pause, 100);
		ck_assert_int_le(pause, 5000);
		ck_assert_int_le(pause, last * 3);
		last = pause;
	}
}
END_TEST

START_TEST(connection_pauses_reach_limit_and_start_anew)
{
	struct backoff backoff = {.first_ms = 100, .max_ms = 5000};

	ck_assert_int_eq(backoff_next(&backoff, 0.9999999), 300);
	ck_assert_int_eq(backoff_next(&backoff, 0.9999999), 900);
	ck_assert_int_eq(backoff_next(&backoff, 0.9999999), 2700);
	ck_assert_int_eq(backoff_next(&backoff, 0.9999999), 5000);
	ck_assert_int_eq(backoff_next(&backoff, 0.9999999), 5000);
	backoff_reset(&backoff);
	ck_assert_int_eq(backoff_next(&backoff, 0.9999999), 300);
	ck_assert_int_eq(backoff_next(&backoff, 0), 100);
}
END_TEST

START_TEST(random_numbers_spread)
{
	double sum = 0;

	for (int i = 0; i < 10000; i++) {
		double random = backoff_random();

		ck_assert(random >= 0 && random < 1);
		sum += random;
	}
	ck_assert_double_gt(sum, 4500);
	ck_assert_double_lt(sum, 5500);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("backoff");
	TCase *tests = unit_case(suite, "tasks");

	tcase_add_test(tests, g2_task_pauses_grow_by_the_factor);
	tcase_add_test(tests, g2_task_pauses_have_a_limit);
	tcase_add_test(tests, g2_task_pauses_are_moved_by_the_jitter);
	tcase_add_test(tests, g2_task_pauses_without_growth);
	tests = unit_case(suite, "connections");
	tcase_add_test(tests, connection_pauses_stay_in_bounds);
	tcase_add_test(tests, connection_pauses_reach_limit_and_start_anew);
	tcase_add_test(tests, random_numbers_spread);
	return unit_run(suite);
}
