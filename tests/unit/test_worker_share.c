#include "daemon/worker/share.h"

#include <string.h>

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

					share_set_total(&share, total);
					share_set_limit(&share, workers, slot);
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

	share_set_total(&share, 3);
	share_set_limit(&share, 1, 0);
	ck_assert(share_can_start(&share));
	ck_assert_int_eq(share_room(&share, &share, 0, 1000, now), 1);
	share_claimed(&share);
	share_started(&share, now);
	ck_assert(!share_can_start(&share));
	ck_assert_int_eq(share_room(&share, &share, 0, 1000, now), 0);
	share_ended(&share, now, now);
	share_released(&share);
	share.elsewhere = 4;
	share_set_limit(&share, 1, 0);
	ck_assert_int_eq(share_room(&share, &share, 0, 1000000, now), 0);
	share_set_total(&share, SHARE_NO_LIMIT);
	share_set_limit(&share, 4, 3);
	ck_assert_int_eq(share.limit, SHARE_NO_LIMIT);
}
END_TEST

enum { WORKERS_MOST = 6, STEPS = 400 };

/* Workers of one instance after their concurrency was lowered. Each looks at
 * the others at times of its own, and not at all of them at once. */
struct instance {
	int workers, total;
	struct share shares[WORKERS_MOST];
	int seen[WORKERS_MOST][WORKERS_MOST];
};

static int
instance_runs(const struct instance *instance)
{
	int sum = 0;

	for (int i = 0; i < instance->workers; i++)
		sum += instance->shares[i].running;
	return sum;
}

static void
instance_look(struct instance *instance, int slot)
{
	struct share *share = &instance->shares[slot];

	share_count_anew(share, instance->workers, false);
	for (int i = 0; i < instance->workers; i++)
		for (int n = 0; i != slot && n < instance->seen[slot][i]; n++)
			share_beside(share, instance->workers, i);
	share_set_limit(share, instance->workers, slot);
}

static void
instance_lower(struct instance *instance, int before, int running)
{
	for (int i = 0; i < instance->workers; i++) {
		struct share *share = &instance->shares[i];
		int part = share_part(before, instance->workers, i);

		*share = (struct share){.total = before};
		share->running = part < running ? part : running;
		share_set_total(share, instance->total);
		for (int j = 0; j < instance->workers; j++)
			instance->seen[j][i] = share->running;
	}
	for (int i = 0; i < instance->workers; i++)
		instance_look(instance, i);
}

static void
instance_step(struct instance *instance)
{
	int slot = rand() % instance->workers;
	struct share *share = &instance->shares[slot];
	int other = rand() % instance->workers;

	switch (rand() % 4) {
	case 0: /* a task ends */
		share->running -= share->running > 0;
		break;
	case 1:
		instance->seen[slot][other] = instance->shares[other].running;
		break;
	case 2:
		instance_look(instance, slot);
		break;
	default:
		if (!share_can_start(share))
			break;
		ck_assert_int_lt(instance_runs(instance), instance->total);
		share->running++;
		break;
	}
}

static void
instance_end(struct instance *instance)
{
	int sum = 0;

	for (int i = 0; i < instance->workers; i++)
		instance->shares[i].running = 0;
	memset(instance->seen, 0, sizeof(instance->seen));
	for (int i = 0; i < instance->workers; i++) {
		instance_look(instance, i);
		ck_assert(!instance->shares[i].settling);
		sum += instance->shares[i].limit;
		free(instance->shares[i].beside);
	}
	ck_assert_int_eq(sum, instance->total);
}

START_TEST(a3_lowered_concurrency_starts_nothing_beyond_it)
{
	srand(1);
	for (int round = 0; round < 2000; round++) {
		struct instance instance = {.workers = 1 + rand() % 6};
		int before = 1 + rand() % 40;

		instance.total = rand() % before;
		instance_lower(&instance, before, rand() % 20);
		for (int i = 0; i < STEPS; i++)
			instance_step(&instance);
		instance_end(&instance);
	}
}
END_TEST

/* One worker has two of the three that are left; the third is free. */
START_TEST(a3_what_others_have_too_much_is_taken_from_the_parts)
{
	struct share share = {.total = 12};

	share_set_total(&share, 3);
	ck_assert(share.settling);
	share_count_anew(&share, 3, false);
	share_beside(&share, 3, 2);
	share_beside(&share, 3, 2);
	share_set_limit(&share, 3, 0);
	ck_assert_int_eq(share.limit, 1);
	share_set_limit(&share, 3, 1);
	ck_assert_int_eq(share.limit, 0);
	ck_assert(share.settling);
	share_count_anew(&share, 3, true);
	share_set_limit(&share, 3, 0);
	ck_assert_int_eq(share.limit, 0);
	ck_assert(share.settling);
	share_count_anew(&share, 3, false);
	share_set_limit(&share, 3, 1);
	ck_assert_int_eq(share.limit, 1);
	ck_assert(!share.settling);
	share_count_anew(&share, 3, false);
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

	ck_assert_int_eq(share_horizon_us(&share, 2000), 14000);
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

/* As many tasks as have slots of 9 ms, which ended while the worker did not get
 * a processor. */
static void
burst(struct share *share, int claimed, struct mono now)
{
	for (int i = 0; i < claimed; i++)
		share_claimed(share);
	for (int i = 0; i < share->limit; i++)
		share_started(share, now);
	now.us += 9000;
	while (share->running > 0)
		share_ended(share, (struct mono){.us = now.us - 9000}, now);
}

START_TEST(a_burst_of_late_ends_is_not_taken_for_the_rate)
{
	struct share ahead = {.limit = 32}, scarce = {.limit = 32};
	struct mono now = {.us = 1000};

	burst(&ahead, 1000, run(&ahead, 5000, 1000, now));
	ck_assert_double_le(ahead.usual_us, 1300);
	burst(&scarce, 32, run(&scarce, 5000, 1000, now));
	ck_assert_double_ge(scarce.usual_us, 4000);
}
END_TEST

/* What was claimed ran out during a turn, and its answer kept the loop busy
 * while the first of the next ended. */
START_TEST(nor_is_one_after_what_was_claimed_ahead_ran_out)
{
	struct share share = {.limit = 32};
	struct mono now = {.us = 1000};

	for (int i = 0; i < 1000; i++)
		share_claimed(&share);
	for (int i = 0; i < 1000; i++) {
		share_started(&share, now);
		now.us += 1000;
		share_ended(&share, (struct mono){.us = now.us - 1000}, now);
		share_released(&share);
	}
	burst(&share, 32, now);
	ck_assert_double_le(share.usual_us, 1500);
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
	tcase_add_test(tests, a3_lowered_concurrency_starts_nothing_beyond_it);
	tcase_add_test(
	    tests, a3_what_others_have_too_much_is_taken_from_the_parts);
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
	tcase_add_test(tests, a_burst_of_late_ends_is_not_taken_for_the_rate);
	tcase_add_test(tests, nor_is_one_after_what_was_claimed_ahead_ran_out);
	tcase_add_test(tests, a_kind_that_is_slow_at_times_is_not_brief);
	tcase_add_test(tests, a_few_long_tasks_do_not_slow_the_quick_ones);
	return unit_run(suite);
}
