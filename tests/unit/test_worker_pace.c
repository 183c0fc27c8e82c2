#include "daemon/worker/pace.h"
#include "daemon/worker/sleeper.h"

#include "tests/unit/unit.h"

static struct mono
at_ms(int64_t ms)
{
	return (struct mono){.us = 1000000 + ms * 1000};
}

START_TEST(b2_some_hundreds_of_tiny_turns_wait_for_nothing)
{
	struct pace pace = pace_new(at_ms(0));

	for (int ms = 0; ms < 5000; ms += 3) {
		ck_assert_int_eq(pace_wait_ms(&pace, 1, at_ms(ms)), 0);
		pace_turn(&pace, 1, at_ms(ms));
	}
}
END_TEST

START_TEST(b2_too_many_tiny_turns_wait_for_company)
{
	struct pace pace = pace_new(at_ms(0));
	int waited = 0;

	for (int ms = 0; ms < 1000; ms++) {
		waited += pace_wait_ms(&pace, 1, at_ms(ms)) > 0;
		pace_turn(&pace, 1, at_ms(ms));
	}
	ck_assert_int_gt(waited, 400);
	ck_assert_int_eq(pace_wait_ms(&pace, PACE_TINY, at_ms(1000)), 0);
}
END_TEST

START_TEST(large_turns_are_free)
{
	struct pace pace = pace_new(at_ms(0));

	for (int ms = 0; ms < 1000; ms++)
		pace_turn(&pace, 300, at_ms(ms));
	ck_assert_int_eq(pace_wait_ms(&pace, 1, at_ms(1000)), 0);
}
END_TEST

START_TEST(b2_a_flows_end_goes_soon_though_quick_ones_wait_for_company)
{
	struct pace pace = pace_new(at_ms(0));

	ck_assert(pace_hold(&pace, PACE_SUPPLIED_QUICK_MS, at_ms(0)));
	ck_assert(!pace_hold(&pace, PACE_SUPPLIED_QUICK_MS, at_ms(3)));
	ck_assert(pace_hold(&pace, PACE_FLOW_MS, at_ms(5)));
	ck_assert(!pace_hold(&pace, PACE_FLOW_MS, at_ms(6)));
	ck_assert(!pace_hold(&pace, PACE_SUPPLIED_MS, at_ms(6)));
	ck_assert_int_eq(pace.until.us, at_ms(5 + PACE_FLOW_MS).us);
	pace_go(&pace);
	ck_assert(pace_hold(&pace, PACE_SUPPLIED_MS, at_ms(8)));
}
END_TEST

START_TEST(a_worker_with_nothing_to_do_registers_once)
{
	struct sleeper sleeper = {0};

	ck_assert_int_eq(sleeper_turn(&sleeper, SLEEPER_NOTHING, at_ms(0)),
	    SLEEPER_REGISTER);
	for (int ms = 200; ms < 5000; ms += 900)
		ck_assert_int_eq(
		    sleeper_turn(&sleeper, SLEEPER_NOTHING, at_ms(ms)),
		    SLEEPER_STAY);
}
END_TEST

START_TEST(a_fresh_registration_is_not_relied_on)
{
	struct sleeper sleeper = {0};

	(void)sleeper_turn(&sleeper, SLEEPER_NOTHING, at_ms(0));
	ck_assert_int_eq(
	    sleeper_turn(&sleeper, SLEEPER_NOTHING, at_ms(1)), SLEEPER_BRIDGE);
	ck_assert_int_eq(
	    sleeper_turn(&sleeper, SLEEPER_ENOUGH, at_ms(2)), SLEEPER_STAY);
	ck_assert_int_eq(
	    sleeper_turn(&sleeper, SLEEPER_NOTHING, at_ms(SLEEPER_UNSEEN_MS)),
	    SLEEPER_STAY);
}
END_TEST

START_TEST(a_busy_worker_signs_off_after_a_second_and_comes_back)
{
	struct sleeper sleeper = {0};
	enum sleeper_step step = SLEEPER_STAY;
	int ms;

	(void)sleeper_turn(&sleeper, SLEEPER_NOTHING, at_ms(0));
	for (ms = 2; ms < 3000 && step != SLEEPER_REMOVE; ms += 2)
		step = sleeper_turn(&sleeper, SLEEPER_SOME, at_ms(ms));
	ck_assert_int_eq(step, SLEEPER_REMOVE);
	ck_assert_int_ge(ms, 1000);
	ck_assert_int_le(ms, 1010);
	ck_assert_int_eq(
	    sleeper_turn(&sleeper, SLEEPER_ENOUGH, at_ms(ms)), SLEEPER_STAY);
	ck_assert_int_eq(
	    sleeper_turn(&sleeper, SLEEPER_SOME, at_ms(ms)), SLEEPER_BRIDGE);
	ck_assert_int_eq(
	    sleeper_turn(&sleeper, SLEEPER_NOTHING, at_ms(ms)), SLEEPER_BRIDGE);
	ck_assert_int_eq(
	    sleeper_turn(&sleeper, SLEEPER_NOTHING, at_ms(ms + 1000)),
	    SLEEPER_REGISTER);
}
END_TEST

START_TEST(an_occasional_task_keeps_it_registered)
{
	struct sleeper sleeper = {0};

	(void)sleeper_turn(&sleeper, SLEEPER_NOTHING, at_ms(0));
	for (int ms = 160; ms < 5000; ms += 20)
		ck_assert_int_eq(
		    sleeper_turn(&sleeper, SLEEPER_SOME, at_ms(ms)),
		    SLEEPER_STAY);
}
END_TEST

START_TEST(a_full_worker_needs_no_call_however_seldom_it_turns)
{
	struct sleeper sleeper = {0};

	(void)sleeper_turn(&sleeper, SLEEPER_NOTHING, at_ms(0));
	ck_assert_int_eq(
	    sleeper_turn(&sleeper, SLEEPER_ENOUGH, at_ms(1000)), SLEEPER_STAY);
	ck_assert_int_eq(sleeper_turn(&sleeper, SLEEPER_ENOUGH, at_ms(2000)),
	    SLEEPER_REMOVE);
	ck_assert_int_eq(
	    sleeper_turn(&sleeper, SLEEPER_ENOUGH, at_ms(9000)), SLEEPER_STAY);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("worker_pace");
	TCase *tests = unit_case(suite, "pace");

	tcase_add_test(tests, b2_some_hundreds_of_tiny_turns_wait_for_nothing);
	tcase_add_test(tests, b2_too_many_tiny_turns_wait_for_company);
	tcase_add_test(tests, large_turns_are_free);
	tcase_add_test(
	    tests, b2_a_flows_end_goes_soon_though_quick_ones_wait_for_company);
	tests = unit_case(suite, "sleeper");
	tcase_add_test(tests, a_worker_with_nothing_to_do_registers_once);
	tcase_add_test(tests, a_fresh_registration_is_not_relied_on);
	tcase_add_test(
	    tests, a_busy_worker_signs_off_after_a_second_and_comes_back);
	tcase_add_test(tests, an_occasional_task_keeps_it_registered);
	tcase_add_test(
	    tests, a_full_worker_needs_no_call_however_seldom_it_turns);
	return unit_run(suite);
}
