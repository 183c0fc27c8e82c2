/* Slow tasks, and quick ones beside them: what is claimed ahead. */
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

/* Turns are slow, too: by the rate one of four would end within two of them. */
START_TEST(slow_tasks_that_started_together_end_together)
{
	struct share share = {.limit = 4};
	struct mono now = run(&share, 40, 400000);

	ck_assert_int_eq(share_room(&share, &share, 0, 100000, now), 4);
	for (int i = 0; i < 4; i++) {
		share_claimed(&share);
		share_started(&share, now);
	}
	for (int ms = 0; ms < 180; ms += 20, now.us += 20000)
		ck_assert_int_eq(share_room(&share, &share, 0, 100000, now), 0);
	now.us += 20000;
	ck_assert_int_eq(share_room(&share, &share, 0, 100000, now), 2);
}
END_TEST

START_TEST(of_slow_tasks_that_started_apart_some_always_end)
{
	struct share share = {.limit = 40};
	struct mono now = run(&share, 40, 400000);

	for (int i = 0; i < 40; i++) {
		share_claimed(&share);
		share_started(&share, (struct mono){.us = now.us + i * 10000});
	}
	now.us += 400000;
	ck_assert_int_eq(share_ahead(&share, &share, 0, 45000, now), 10);
	for (int i = 0; i < 40; i++)
		share_ended(&share,
		    (struct mono){.us = now.us + (i - 40) * 10000}, now);
	ck_assert_uint_eq(share.began_ms, 0);
	ck_assert_uint_eq(share.began_squares, 0);
}
END_TEST

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

int
main(void)
{
	Suite *suite = suite_create("worker_share_slow");
	TCase *tests = unit_case(suite, "slow");

	tcase_add_test(tests, slow_tasks_that_started_together_end_together);
	tcase_add_test(tests, of_slow_tasks_that_started_apart_some_always_end);
	tcase_add_test(
	    tests, quick_tasks_do_not_count_on_slots_that_slow_ones_wait_for);
	return unit_run(suite);
}
