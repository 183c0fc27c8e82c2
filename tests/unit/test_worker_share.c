#include "daemon/worker/share.h"

#include "tests/unit/unit.h"

START_TEST(a3_parts_add_up_to_the_whole)
{
	for (int total = 0; total < 60; total++)
		for (int workers = 1; workers < 9; workers++) {
			int sum = 0;

			for (int slot = 0; slot < workers; slot++)
				sum += share_part(total, workers, slot);
			ck_assert_int_eq(sum, total);
		}
	ck_assert_int_eq(share_part(5, 2, 0), 3);
	ck_assert_int_eq(share_part(5, 2, 1), 2);
	ck_assert_int_eq(share_part(1, 4, 3), 0);
	ck_assert_int_eq(share_part(5, 2, 2), 0);
}
END_TEST

/* Old tasks end one by one; each worker has counted them at a time of its own.
 * What it then takes beside them is never too much, and in the end all. */
START_TEST(a3_old_tasks_and_the_parts_beside_them_are_never_too_many)
{
	for (int total = 0; total < 20; total++)
		for (int workers = 1; workers < 6; workers++)
			for (int old = 0; old <= total; old++) {
				int sum = 0;

				for (int slot = 0; slot < workers; slot++) {
					struct share share = {
					    .elsewhere = old + slot % 3};

					share_set_limit(
					    &share, total, workers, slot);
					sum += share.limit;
				}
				ck_assert_int_le(old + sum, total);
				ck_assert(workers > 1 || old + sum == total);
			}
}
END_TEST

START_TEST(a3_what_runs_elsewhere_takes_slots)
{
	struct share share = {.elsewhere = 2};
	struct mono now = {.us = 1};

	share_set_limit(&share, 3, 1, 0);
	ck_assert(share_can_start(&share));
	ck_assert_int_eq(share_room(&share, &share, 0, 1000, now), 1);
	share_claimed(&share);
	share_started(&share, now);
	ck_assert(!share_can_start(&share));
	ck_assert_int_eq(share_room(&share, &share, 0, 1000, now), 0);
	share_ended(&share, now, now);
	share_released(&share);
	share.elsewhere = 4;
	share_set_limit(&share, 3, 1, 0);
	ck_assert_int_eq(share_room(&share, &share, 0, 1000000, now), 0);
	share_set_limit(&share, SHARE_NO_LIMIT, 4, 3);
	ck_assert_int_eq(share.limit, SHARE_NO_LIMIT);
}
END_TEST

/* Run `count` tasks of `us` one after the other. */
static struct mono
run(struct share *share, int count, int64_t us, struct mono at)
{
	for (int i = 0; i < count; i++) {
		struct mono end = {.us = at.us + us};

		share_started(share, at);
		share_ended(share, at, end);
		at = end;
	}
	return at;
}

START_TEST(nothing_is_claimed_ahead_before_it_was_measured)
{
	struct share share = {.limit = 25};

	ck_assert_int_eq(
	    share_room(&share, &share, 0, 2000, (struct mono){.us = 5}), 25);
}
END_TEST

START_TEST(quick_tasks_are_claimed_by_hundreds)
{
	struct share share = {.limit = 25};
	struct mono now = run(&share, 25, 1, (struct mono){.us = 1000});

	ck_assert_int_eq(
	    share_room(&share, &share, 0, 2000, now), 25 + SHARE_AHEAD_MAX);
}
END_TEST

START_TEST(medium_tasks_are_claimed_as_far_as_the_horizon)
{
	struct share share = {.limit = 20};
	struct mono now = run(&share, 20, 10000, (struct mono){.us = 1000});

	ck_assert_int_eq(share_horizon_us(2000), 14000);
	ck_assert_int_eq(share_ahead(&share, &share, 0, 2000, now), 28);
}
END_TEST

START_TEST(slots_are_supplied_while_what_waits_lasts_longer_than_a_turn)
{
	struct share share = {.limit = 8};
	struct mono now = run(&share, 20, 10000, (struct mono){.us = 1000});

	for (int i = 0; i < 8; i++) {
		ck_assert(!share_is_supplied(&share, 1));
		share_claimed(&share);
		share_started(&share, now);
	}
	ck_assert(!share_is_supplied(&share, 2000));
	for (int i = 0; i < 3; i++)
		share_claimed(&share);
	ck_assert(share_is_supplied(&share, 2000));
	ck_assert(!share_is_supplied(&share, 3000));
	share_ended(&share, now, (struct mono){.us = now.us + 10000});
	share_released(&share);
	ck_assert(!share_is_supplied(&share, 2000)); /* a slot is free */
}
END_TEST

/* A worker whose tasks never run out, in steps of 0.1 ms: each of its slots
 * takes `run_us` for one, a turn `turn_us` for what was free when it began. */
struct course {
	struct share share;
	int64_t turn_us, run_us;
	struct mono now, began[32], turn_began;
	bool under_way;
	int coming, idle, turns;
};

static void
step_slots(struct course *course)
{
	struct share *share = &course->share;

	for (int i = 0; i < share->limit; i++) {
		struct mono *began = &course->began[i];

		if (began->us != 0 &&
		    mono_us_between(*began, course->now) >= course->run_us) {
			share_ended(share, *began, course->now);
			share_released(share);
			began->us = 0;
		}
		if (began->us == 0 && share->claimed > share->running) {
			*began = course->now;
			share_started(share, course->now);
		}
		course->idle += began->us == 0;
	}
}

static void
step_turn(struct course *course)
{
	struct share *share = &course->share;

	if (course->under_way && mono_us_between(course->turn_began,
				     course->now) >= course->turn_us) {
		for (; course->coming > 0; course->coming--)
			share_claimed(share);
		course->under_way = false;
	}
	if (course->under_way || share_is_supplied(share, course->turn_us))
		return;
	course->coming =
	    share_room(share, share, 0, course->turn_us, course->now);
	course->under_way = true;
	course->turn_began = course->now;
	course->turns++;
}

static void
follow(struct course *course, int64_t us)
{
	course->idle = course->turns = 0;
	for (int64_t end = course->now.us + us; course->now.us < end;
	     course->now.us += 100) {
		step_turn(course);
		step_slots(course);
	}
}

START_TEST(no_slot_waits_for_a_turn_and_turns_are_few)
{
	static const int64_t turns_us[] = {1000, 3000, 7000, 20000};
	static const int64_t runs_us[] = {2000, 9000, 15000};

	for (size_t t = 0; t < sizeof(turns_us) / sizeof(*turns_us); t++)
		for (size_t r = 0; r < sizeof(runs_us) / sizeof(*runs_us);
		     r++) {
			struct course course = {.share = {.limit = 8},
			    .turn_us = turns_us[t],
			    .run_us = runs_us[r],
			    .now = {.us = 1000000}};

			follow(&course, 1000000); /* it learns */
			follow(&course, 1000000);
			ck_assert_int_eq(course.idle, 0);
			ck_assert_int_le(course.turns, 100);
		}
}
END_TEST

START_TEST(slow_tasks_get_exactly_the_free_slots)
{
	struct share share = {.limit = 25};
	struct mono now = run(&share, 40, 2000000, (struct mono){.us = 1000});

	ck_assert_int_eq(share_room(&share, &share, 0, 3000, now), 25);
}
END_TEST

START_TEST(quick_tasks_that_became_slow_stop_the_prefetch)
{
	struct share share = {.limit = 5};
	struct mono now = run(&share, 100, 10, (struct mono){.us = 1000});

	ck_assert_int_eq(
	    share_ahead(&share, &share, 0, 2000, now), SHARE_AHEAD_MAX);
	for (int i = 0; i < 5; i++) {
		share_claimed(&share);
		share_started(&share, now);
	}
	now.us += 500000;
	ck_assert_int_eq(share_room(&share, &share, 0, 2000, now), 0);
}
END_TEST

START_TEST(a_few_long_tasks_do_not_slow_the_quick_ones)
{
	struct share share = {.limit = 25};
	struct mono now = run(&share, 100, 10, (struct mono){.us = 1000});

	for (int i = 0; i < 5; i++) {
		share_claimed(&share);
		share_started(&share, now);
	}
	now.us += 500000;
	ck_assert_int_eq(
	    share_room(&share, &share, 0, 2000, now), 20 + SHARE_AHEAD_MAX);
}
END_TEST

START_TEST(a_kind_that_is_slow_at_times_is_not_brief)
{
	struct share share = {.limit = 4};
	struct mono now = {.us = 1000};

	for (int i = 0; i < 40; i++) {
		now = run(&share, 19, 1000, now);
		now = run(&share, 1, 2000000, now);
		ck_assert_int_eq(share_ahead(&share, &share, 0, 2000, now), 0);
	}
	ck_assert(!share_is_brief(&share, 2000));
	now = run(&share, 1000, 1000, now);
	ck_assert(share_is_brief(&share, 2000));
}
END_TEST

START_TEST(lists_find_by_name)
{
	struct share_list list = {0};
	struct share *one = share_list_get(&list, "one");

	ck_assert_ptr_ne(share_list_get(&list, "two"), one);
	ck_assert_ptr_eq(share_list_get(&list, "one"), one);
	ck_assert_int_eq(list.count, 2);
	ck_assert_int_eq(one->limit, 0);
	share_list_free(&list);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("worker_share");
	TCase *tests = unit_case(suite, "slots");

	tcase_add_test(tests, a3_parts_add_up_to_the_whole);
	tcase_add_test(
	    tests, a3_old_tasks_and_the_parts_beside_them_are_never_too_many);
	tcase_add_test(tests, a3_what_runs_elsewhere_takes_slots);
	tcase_add_test(tests, lists_find_by_name);
	tests = unit_case(suite, "ahead");
	tcase_add_test(tests, nothing_is_claimed_ahead_before_it_was_measured);
	tcase_add_test(tests, quick_tasks_are_claimed_by_hundreds);
	tcase_add_test(tests, medium_tasks_are_claimed_as_far_as_the_horizon);
	tcase_add_test(tests,
	    slots_are_supplied_while_what_waits_lasts_longer_than_a_turn);
	tcase_add_test(tests, no_slot_waits_for_a_turn_and_turns_are_few);
	tcase_add_test(tests, slow_tasks_get_exactly_the_free_slots);
	tcase_add_test(tests, quick_tasks_that_became_slow_stop_the_prefetch);
	tcase_add_test(tests, a_kind_that_is_slow_at_times_is_not_brief);
	tcase_add_test(tests, a_few_long_tasks_do_not_slow_the_quick_ones);
	return unit_run(suite);
}
