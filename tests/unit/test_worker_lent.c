/* What a worker may run of limits that hold across hosts. */
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

int
main(void)
{
	Suite *suite = suite_create("worker_lent");
	TCase *tests = unit_case(suite, "limits across hosts");

	tcase_add_test(tests, a3_what_is_lent_bounds_the_slots);
	tcase_add_test(tests, a3_each_start_takes_a_token);
	return unit_run(suite);
}
