#include "daemon/scheduler/plan.h"

#include <string.h>

#include "tests/unit/unit.h"

static struct plan plan;
static struct mono now;
static int64_t wait_ms;
static bool found[CHORES_MOVING]; /* by each look */

static void
begin(void)
{
	now = (struct mono){.us = 5000000};
	for (int i = 0; i < CHORES_MOVING; i++)
		found[i] = i != CHORE_LOOK && i != CHORE_DUE;
	plan_init(&plan, now);
	plan_mark_in(&plan, 1000000, now);
}

static enum chore
next(void)
{
	return plan_next(&plan, now, &wait_ms);
}

static void
done(enum chore chore, int rows, int64_t ms)
{
	now = mono_add_ms(now, ms);
	if (chore == CHORE_LOOK) {
		rows = 0;
		for (int i = 0; i < CHORES_MOVING; i++)
			if (found[i])
				plan_found(&plan, i);
	}
	plan_done(&plan, chore, rows, ms, now);
}

/* Runs what is due until nothing is, each taking `rows`; how many ran. */
static int
run(int rows)
{
	int count = 0;
	enum chore chore;

	while ((chore = next()) != CHORE_NONE && count < 1000) {
		done(chore, rows, 0);
		count++;
	}
	return count;
}

START_TEST(idle_system_is_left_alone)
{
	ck_assert_int_eq(run(0), CHORES_MOVING);
	ck_assert(plan_is_idle(&plan));
	ck_assert_int_gt(wait_ms, 100000);
	now = mono_add_ms(now, 10000);
	ck_assert_int_eq(next(), CHORE_NONE);
}
END_TEST

START_TEST(round_leaves_out_what_a_look_found_nothing_for)
{
	memset(found, 0, sizeof(found));
	ck_assert_int_eq(next(), CHORE_LOOK);
	done(CHORE_LOOK, 0, 1);
	ck_assert_int_eq(next(), CHORE_DUE);
	done(CHORE_DUE, 0, 1);
	ck_assert_int_eq(next(), CHORE_NONE);
	ck_assert(plan_is_idle(&plan));
}
END_TEST

START_TEST(what_one_moves_may_be_work_for_those_after_it)
{
	memset(found, 0, sizeof(found));
	found[CHORE_FOLD] = true;
	ck_assert_int_eq(next(), CHORE_LOOK);
	done(CHORE_LOOK, 0, 1);
	ck_assert_int_eq(next(), CHORE_DUE);
	done(CHORE_DUE, 0, 1);
	ck_assert_int_eq(next(), CHORE_FOLD);
	done(CHORE_FOLD, 3, 1);
	ck_assert_int_eq(next(), CHORE_EXPAND);
	done(CHORE_EXPAND, 0, 1);
	ck_assert_int_eq(next(), CHORE_NONE);
	ck_assert(!plan_is_idle(&plan));
}
END_TEST

START_TEST(poke_starts_a_round_at_once)
{
	run(0);
	now = mono_add_ms(now, 1000);
	plan_poke(&plan);
	ck_assert_int_eq(run(0), CHORES_MOVING);
}
END_TEST

/* In the middle of a round, and in the pause after it. */
START_TEST(requests_come_before_all_others)
{
	done(next(), 1, 40);
	plan_ask(&plan);
	ck_assert_int_eq(next(), CHORE_CARRY_OUT);
	done(CHORE_CARRY_OUT, 0, 1);
	run(1);
	ck_assert_int_gt(wait_ms, 0);
	plan_ask(&plan);
	ck_assert_int_eq(next(), CHORE_CARRY_OUT);
	done(CHORE_CARRY_OUT, 0, 1);
	ck_assert_int_eq(next(), CHORE_NONE);
}
END_TEST

START_TEST(requests_leave_every_other_turn_to_the_others)
{
	int requests = 0, others = 0;

	for (int i = 0; i < 2 * CHORES_MOVING; i++) {
		enum chore chore;

		plan_ask(&plan);
		chore = next();
		done(chore, 0, 0);
		requests += chore == CHORE_CARRY_OUT;
		others += chore != CHORE_CARRY_OUT && chore != CHORE_NONE;
	}
	ck_assert_int_ge(requests, CHORES_MOVING);
	ck_assert_int_ge(others, CHORES_MOVING - 1);
}
END_TEST

START_TEST(requests_that_failed_wait)
{
	plan_ask(&plan);
	ck_assert_int_eq(next(), CHORE_CARRY_OUT);
	plan_failed(&plan, CHORE_CARRY_OUT, now);
	plan_ask(&plan);
	ck_assert_int_ne(next(), CHORE_CARRY_OUT);
}
END_TEST

START_TEST(round_that_moved_something_is_followed_by_another)
{
	ck_assert_int_eq(run(1), CHORES_MOVING);
	ck_assert(!plan_is_idle(&plan));
	ck_assert_int_eq(wait_ms, PLAN_PAUSE_MIN_MS);
	now = mono_add_ms(now, wait_ms);
	ck_assert_int_eq(run(0), CHORES_MOVING);
	ck_assert(plan_is_idle(&plan));
}
END_TEST

START_TEST(pause_is_as_long_as_the_round)
{
	for (int i = 0; i < CHORES_MOVING; i++)
		done(next(), 1, 4);
	ck_assert_int_eq(next(), CHORE_NONE);
	ck_assert_int_eq(wait_ms, 4 * CHORES_MOVING);
}
END_TEST

START_TEST(full_chore_goes_on_at_once_and_starves_nobody)
{
	int unlocked = 0, others[CHORES] = {0};

	found[CHORE_CARRY_OUT] = false;
	for (int i = 0; i < 100; i++) {
		enum chore chore = next();

		ck_assert_int_ne(chore, CHORE_NONE);
		others[chore]++;
		if (chore == CHORE_UNLOCK) {
			unlocked++;
			done(chore, PLAN_LIMIT_MAX, 30);
		} else {
			done(chore, 0, 1);
		}
	}
	ck_assert_int_gt(unlocked, 25);
	ck_assert_int_gt(others[CHORE_ADMIT], 10);
	ck_assert_int_gt(others[CHORE_DUE], 10);
}
END_TEST

START_TEST(slow_statements_take_less_and_fast_ones_more)
{
	int limit = plan.chores[CHORE_FOLD].limit;

	plan_done(&plan, CHORE_FOLD, limit, 200, now);
	ck_assert_int_eq(plan.chores[CHORE_FOLD].limit, limit / 2);
	for (int i = 0; i < 20; i++)
		plan_done(&plan, CHORE_FOLD, 0, 200, now);
	ck_assert_int_eq(plan.chores[CHORE_FOLD].limit, PLAN_LIMIT_MIN);
	for (int i = 0; i < 20; i++)
		plan_done(&plan, CHORE_FOLD, PLAN_LIMIT_MAX, 1, now);
	ck_assert_int_eq(plan.chores[CHORE_FOLD].limit, PLAN_LIMIT_MAX);
}
END_TEST

START_TEST(failed_chore_waits_and_holds_up_no_other)
{
	enum chore chore;

	while ((chore = next()) != CHORE_FOLD)
		done(chore, 0, 0);
	plan_failed(&plan, CHORE_FOLD, now);
	run(0);
	ck_assert_int_eq(wait_ms, PLAN_RETRY_MS);
	plan_poke(&plan);
	now = mono_add_ms(now, 100);
	ck_assert_int_eq(run(0), CHORES_MOVING - 1);
	now = mono_add_ms(now, PLAN_RETRY_MS);
	ck_assert_int_eq(next(), CHORE_FOLD);
}
END_TEST

START_TEST(due_tasks_are_moved_at_their_time)
{
	run(0);
	plan_due_in(&plan, 250, now);
	ck_assert_int_eq(next(), CHORE_NONE);
	ck_assert_int_eq(wait_ms, 250);
	now = mono_add_ms(now, 249);
	ck_assert_int_eq(next(), CHORE_NONE);
	now = mono_add_ms(now, 1);
	ck_assert_int_eq(next(), CHORE_DUE);
	done(CHORE_DUE, 0, 0);
	plan_due_in(&plan, -1, now);
	ck_assert_int_eq(next(), CHORE_NONE);
	ck_assert_int_gt(wait_ms, 100000);
}
END_TEST

/* In no round: between ticks they cost nothing. */
START_TEST(schedules_are_fired_at_their_time)
{
	run(0);
	now = mono_add_ms(now, 100);
	plan_fire_in(&plan, 250, now);
	plan_poke(&plan);
	ck_assert_int_eq(run(0), CHORES_MOVING);
	ck_assert_int_eq(wait_ms, 250);
	now = mono_add_ms(now, 250);
	ck_assert_int_eq(next(), CHORE_FIRE);
	done(CHORE_FIRE, plan.chores[CHORE_FIRE].limit, 0);
	ck_assert_int_eq(next(), CHORE_FIRE);
	done(CHORE_FIRE, 0, 0);
	ck_assert_int_eq(next(), CHORE_NONE);
}
END_TEST

START_TEST(failed_mark_does_not_spin)
{
	run(0);
	plan_mark_in(&plan, 0, now);
	ck_assert_int_eq(next(), CHORE_MARK);
	plan_failed(&plan, CHORE_MARK, now);
	ck_assert_int_eq(next(), CHORE_NONE);
	ck_assert_int_eq(wait_ms, PLAN_RETRY_MS);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("plan");
	TCase *tests = unit_case(suite, "plan");

	tcase_add_checked_fixture(tests, begin, NULL);
	tcase_add_test(tests, idle_system_is_left_alone);
	tcase_add_test(tests, round_leaves_out_what_a_look_found_nothing_for);
	tcase_add_test(tests, what_one_moves_may_be_work_for_those_after_it);
	tcase_add_test(tests, poke_starts_a_round_at_once);
	tcase_add_test(
	    tests, round_that_moved_something_is_followed_by_another);
	tcase_add_test(tests, requests_come_before_all_others);
	tcase_add_test(tests, requests_leave_every_other_turn_to_the_others);
	tcase_add_test(tests, requests_that_failed_wait);
	tcase_add_test(tests, pause_is_as_long_as_the_round);
	tcase_add_test(tests, full_chore_goes_on_at_once_and_starves_nobody);
	tcase_add_test(tests, slow_statements_take_less_and_fast_ones_more);
	tcase_add_test(tests, failed_chore_waits_and_holds_up_no_other);
	tcase_add_test(tests, due_tasks_are_moved_at_their_time);
	tcase_add_test(tests, schedules_are_fired_at_their_time);
	tcase_add_test(tests, failed_mark_does_not_spin);
	return unit_run(suite);
}
