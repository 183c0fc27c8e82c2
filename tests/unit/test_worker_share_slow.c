/* Quick tasks beside slow ones: what is claimed ahead. */
#include "daemon/worker/share.h"
#include "tests/unit/unit.h"

/* `count` tasks of `us` ran one after the other. */
static struct mono
run(struct share *share, int count, int64_t us)
{
	struct mono at = {.us = 1000};

	for (int i = 0; i < count; i++) {
		struct mono end = {.us = at.us + us};

		share_started(share, at);
		share_ended(share, at, end);
		at = end;
	}
	return at;
}

START_TEST(quick_tasks_do_not_count_on_slots_that_slow_ones_wait_for)
{
	struct share longer = {.mean_us = 400000}, quick = {.limit = 4};
	struct mono now = run(&quick, 100, 10);

	quick.longer = &longer;
	ck_assert_int_eq(
	    share_ahead(&quick, &quick, 0, 2000, now), SHARE_AHEAD_MAX);
	for (int i = 0; i < 4; i++)
		share_claimed(&longer);
	ck_assert_int_eq(share_ahead(&quick, &quick, 0, 2000, now), 0);
}
END_TEST

START_TEST(quick_tasks_are_claimed_further_ahead)
{
	struct share share = {
	    .limit = 20, .running = 20, .began_sum = 20, .mean_us = 5000};
	struct mono now = {.us = 1000};

	share.usual_us = 5000;
	ck_assert_int_eq(share_horizon_us(&share, 2000), 29000);
	ck_assert_int_eq(share_ahead(&share, &share, 0, 2000, now), 116);
	share.usual_us = 5001;
	ck_assert_int_eq(share_horizon_us(&share, 2000), 14000);
	ck_assert(!share_is_brief(&(struct share){.mean_us = 15000}, 2000));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("worker_share_slow");
	TCase *tests = unit_case(suite, "slow");

	tcase_add_test(
	    tests, quick_tasks_do_not_count_on_slots_that_slow_ones_wait_for);
	tcase_add_test(tests, quick_tasks_are_claimed_further_ahead);
	return unit_run(suite);
}
