#include "daemon/scheduler/signs.h"

#include "tests/unit/unit.h"

static struct signs signs;
static struct mono now;

static void
begin(void)
{
	signs = (struct signs){0};
	now = (struct mono){.us = 5000000};
}

static void
end(void)
{
	signs_free(&signs);
}

/* A look `ms` later that sees worker 1 with these beats and its lock. */
static void
look(int64_t ms, int64_t beats)
{
	now = mono_add_ms(now, ms);
	signs_begin(&signs, now);
	signs_saw(&signs, 1, beats, 77, true, "pid 1 on h", now);
	signs_end(&signs, now);
}

static bool
is_silent(void)
{
	size_t at = 0;

	return signs_silent(&signs, &at, now) != NULL;
}

START_TEST(i3_worker_is_silent_after_the_whole_limit)
{
	look(0, 5);
	for (int i = 0; i < 9; i++) {
		look(1000, 5);
		ck_assert(!is_silent());
	}
	look(1000, 5);
	ck_assert(is_silent());
}
END_TEST

START_TEST(i3_a_beat_starts_the_limit_anew)
{
	look(0, 5);
	for (int i = 0; i < 30; i++) {
		look(1000, 6 + i / 9);
		ck_assert(!is_silent());
	}
}
END_TEST

START_TEST(i3_a_counter_that_goes_back_is_a_change_too)
{
	look(0, 5);
	for (int i = 0; i < 9; i++)
		look(1000, 5);
	look(1000, 4); /* a promoted standby that lagged behind */
	ck_assert(!is_silent());
}
END_TEST

START_TEST(i3_key_in_redis_is_a_sign)
{
	look(0, 5);
	for (int i = 0; i < 30; i++) {
		signs_key(&signs, 1, 2900, now);
		look(1000, 5);
		ck_assert(!is_silent());
	}
}
END_TEST

START_TEST(i3_key_that_only_runs_out_is_no_sign)
{
	look(0, 5);
	for (int i = 0; i < 9; i++) {
		signs_key(&signs, 1, 30000 - i * 1000 + i % 2, now);
		look(1000, 5);
	}
	ck_assert(!is_silent()); /* the first answer was one */
	look(1000, 5);
	ck_assert(is_silent());
}
END_TEST

START_TEST(i3_missing_key_and_unknown_worker_are_no_signs)
{
	look(0, 5);
	for (int i = 0; i < 10; i++) {
		signs_key(&signs, 1, -2, now);
		signs_key(&signs, 99, 3000, now);
		look(1000, 5);
	}
	ck_assert(is_silent());
	ck_assert_uint_eq(signs.count, 1);
}
END_TEST

START_TEST(i3_what_was_not_watched_does_not_count)
{
	look(0, 5);
	for (int i = 0; i < 9; i++)
		look(1000, 5);
	look(SIGNS_GAP_MS + 1, 5); /* the database or we were away */
	ck_assert(!is_silent());
	for (int i = 0; i < 9; i++)
		look(1000, 5);
	ck_assert(!is_silent());
	look(1000, 5);
	ck_assert(is_silent());
}
END_TEST

START_TEST(i3_restart_starts_all_limits_anew)
{
	look(0, 5);
	for (int i = 0; i < 9; i++)
		look(1000, 5);
	signs_restart(&signs, now);
	look(1000, 5);
	ck_assert(!is_silent());
}
END_TEST

START_TEST(i3_worker_that_left_is_forgotten)
{
	look(0, 5);
	now = mono_add_ms(now, 1000);
	signs_begin(&signs, now);
	signs_saw(&signs, 2, 1, 78, false, "pid 2 on h", now);
	signs_end(&signs, now);
	ck_assert_uint_eq(signs.count, 1);
	ck_assert_int_eq(signs.items[0].worker, 2);
	ck_assert_str_eq(signs.items[0].name, "pid 2 on h");
}
END_TEST

START_TEST(i3_every_silent_worker_is_named_once)
{
	size_t at = 0;
	int found = 0;

	for (int i = 0; i <= 10; i++) {
		signs_begin(&signs, now);
		for (int worker = 1; worker <= 5; worker++)
			signs_saw(&signs, worker, worker < 4 ? 7 : i, 0, false,
			    "", now);
		signs_end(&signs, now);
		now = mono_add_ms(now, 1000);
	}
	while (signs_silent(&signs, &at, now) != NULL)
		found++;
	ck_assert_int_eq(found, 3);
}
END_TEST

static bool
is_suspect(void)
{
	size_t at = 0;

	return signs_suspect(&signs, &at, now) != NULL;
}

/* Beats and key for ten seconds. */
static void
live(void)
{
	for (int i = 0; i <= 10; i++) {
		signs_key(&signs, 1, 2900, now);
		look(1000, i);
	}
}

/* Looks without a beat that find no key. */
static void
miss(int looks)
{
	for (int i = 0; i < looks; i++) {
		look(1000, 10);
		signs_key(&signs, 1, -2, now);
	}
}

START_TEST(i3_worker_whose_signs_have_ended_is_suspect_until_it_is_silent)
{
	live();
	miss(5);
	ck_assert(!is_suspect());
	miss(1);
	ck_assert(is_suspect());
	miss(3);
	ck_assert(is_suspect() && !is_silent());
	miss(1);
	ck_assert(!is_suspect() && is_silent());
}
END_TEST

START_TEST(i3_one_sign_is_enough_not_to_be_suspect)
{
	live();
	miss(6);
	look(1000, 11);
	ck_assert(!is_suspect());
	live();
	for (int i = 0; i < 8; i++) {
		signs_key(&signs, 1, 2900, now);
		look(1000, 10);
		ck_assert(!is_suspect());
	}
}
END_TEST

START_TEST(i3_without_a_lock_nobody_is_suspect)
{
	live();
	miss(6);
	signs_saw(&signs, 1, 10, 77, false, "", now);
	ck_assert(!is_suspect());
}
END_TEST

START_TEST(i3_key_that_was_not_seen_is_not_gone)
{
	look(0, 10);
	miss(7);
	ck_assert(!is_suspect());
	live();
	signs_keys_lost(&signs); /* Redis was restarted and is empty */
	miss(7);
	ck_assert(!is_suspect());
}
END_TEST

START_TEST(i3_suspect_only_after_the_limit_since_the_connect)
{
	live();
	miss(6);
	signs_restart(&signs, now);
	for (int i = 0; i < 9; i++) {
		miss(1);
		ck_assert(!is_suspect());
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("signs");
	TCase *tests = unit_case(suite, "signs");

	tcase_add_checked_fixture(tests, begin, end);
	tcase_add_test(tests, i3_worker_is_silent_after_the_whole_limit);
	tcase_add_test(tests, i3_a_beat_starts_the_limit_anew);
	tcase_add_test(tests, i3_a_counter_that_goes_back_is_a_change_too);
	tcase_add_test(tests, i3_key_in_redis_is_a_sign);
	tcase_add_test(tests, i3_key_that_only_runs_out_is_no_sign);
	tcase_add_test(tests, i3_missing_key_and_unknown_worker_are_no_signs);
	tcase_add_test(tests, i3_what_was_not_watched_does_not_count);
	tcase_add_test(tests, i3_restart_starts_all_limits_anew);
	tcase_add_test(tests, i3_worker_that_left_is_forgotten);
	tcase_add_test(tests, i3_every_silent_worker_is_named_once);
	tcase_add_test(tests,
	    i3_worker_whose_signs_have_ended_is_suspect_until_it_is_silent);
	tcase_add_test(tests, i3_one_sign_is_enough_not_to_be_suspect);
	tcase_add_test(tests, i3_without_a_lock_nobody_is_suspect);
	tcase_add_test(tests, i3_key_that_was_not_seen_is_not_gone);
	tcase_add_test(
	    tests, i3_suspect_only_after_the_limit_since_the_connect);
	return unit_run(suite);
}
