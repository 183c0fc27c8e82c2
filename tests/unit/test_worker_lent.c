/* What a worker may run of limits that hold across hosts, and what it claims
 * ahead of tasks that started together. */
#include "daemon/worker/share.h"
#include "tests/unit/unit.h"

START_TEST(a3_what_is_lent_bounds_the_slots)
{
	struct share_list list = {0};
	struct share *share = share_list_get_queue(&list, "a");

	share_set_total(share, 10);
	share_set_limit(share, 1, 0);
	share_lend(share, 3);
	ck_assert_int_eq(share->limit, 3);
	ck_assert_int_eq(share->longer->limit, 3);
	share_set_limit(share, 2, 0);
	ck_assert_int_eq(share->limit, 3);
	share_lend(share, 8);
	ck_assert_int_eq(share->limit, 5);
	share_unbind(share);
	ck_assert_int_eq(share->limit, 5);
	share_list_free(&list);
}
END_TEST

START_TEST(a3_each_start_takes_a_token)
{
	struct share_list list = {0};
	struct share *share = share_list_get_queue(&list, "a");
	struct mono now = {.us = 1000};

	share_set_total(share, 10);
	share_set_limit(share, 1, 0);
	share->rated = true;
	ck_assert_int_eq(share_free(share), 0);
	share->tokens = 2;
	ck_assert_int_eq(share_free(share), 2);
	share_claimed(share);
	ck_assert_int_eq(share_room(share, share, 0, 1000, now), 1);
	ck_assert_int_eq(share_room(share->longer, share, 0, 1000, now), 1);
	share_started(share, now);
	ck_assert_int_eq(share->tokens, 1);
	ck_assert_int_eq(share_free(share), 1);
	share_claimed(share);
	share_started(share, now);
	share_claimed(share);
	ck_assert(!share_can_start(share));
	ck_assert_int_eq(share_room(share, share, 0, 1000, now), 0);
	ck_assert_int_eq(share->spent_at.us, now.us);
	share_list_free(&list);
}
END_TEST

/* A rate would have a few of them end within the horizon of 14 ms. */
START_TEST(tasks_that_started_together_are_followed_by_as_many)
{
	static const struct {
		int64_t runs_us, age_us;
		int ahead;
	} cases[] = {
	    {40000, 10000, 5},	/* not due yet */
	    {40000, 27000, 16}, /* all at once */
	    {40000, 81000, 2},	/* overdue: they run for longer */
	    {10000, 1000, 22},	/* more than once */
	    {60000, 59000, 3},	/* too long to know */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct share share = {.limit = 16};
		struct mono began = {.us = 1}, now = began;

		now.us += cases[i].runs_us;
		share_started(&share, began);
		share_ended(&share, began, now);
		for (int n = 0; n < 16; n++) {
			share_claimed(&share);
			share_started(&share, now);
		}
		now.us += cases[i].age_us;
		ck_assert_int_eq(
		    share_ahead(&share, &share, 0, 2000, now), cases[i].ahead);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("worker_lent");
	TCase *tests = unit_case(suite, "limits across hosts");

	tcase_add_test(tests, a3_what_is_lent_bounds_the_slots);
	tcase_add_test(tests, a3_each_start_takes_a_token);
	tcase_add_test(
	    tests, tasks_that_started_together_are_followed_by_as_many);
	return unit_run(suite);
}
