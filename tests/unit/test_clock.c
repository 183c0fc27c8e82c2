#include "common/clock.h"

#include "tests/unit/unit.h"

START_TEST(monotonic_time_goes_on)
{
	struct mono before = mono_now(), after;

	do {
		after = mono_now();
		ck_assert_int_ge(mono_us_between(before, after), 0);
	} while (mono_us_between(before, after) == 0);
}
END_TEST

START_TEST(a_moment_of_late_is_none_to_come)
{
	struct mono lately = mono_lately(), now = mono_now();

	ck_assert_int_ge(mono_us_between(lately, now), 0);
	ck_assert_int_lt(mono_us_between(lately, now), 1000000);
}
END_TEST

START_TEST(differences)
{
	struct mono zero = {0}, late = {2500};

	ck_assert_int_eq(mono_us_between(zero, late), 2500);
	ck_assert_int_eq(mono_ms_between(zero, late), 2);
	ck_assert_int_eq(mono_ms_between(late, zero), -3);
	ck_assert_int_eq(mono_add_ms(late, 3).us, 5500);
	ck_assert_int_eq(mono_add_ms(late, -3).us, -500);
}
END_TEST

START_TEST(wall_clock_is_of_this_century)
{
	ck_assert_int_gt(wall_now_us(), (int64_t)1600000000 * 1000000);
	ck_assert_int_lt(wall_now_us(), (int64_t)4102444800 * 1000000);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("clock");
	TCase *tests = unit_case(suite, "clock");

	tcase_add_test(tests, monotonic_time_goes_on);
	tcase_add_test(tests, a_moment_of_late_is_none_to_come);
	tcase_add_test(tests, differences);
	tcase_add_test(tests, wall_clock_is_of_this_century);
	return unit_run(suite);
}
