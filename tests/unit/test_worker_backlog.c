#include "daemon/worker/backlog.h"

#include "tests/unit/unit.h"

/* Two kinds, with a route each, whose tasks share the slots of a queue. */
static struct share queue, kinds[2];
static struct route routes[2];
static struct backlog backlog;
static struct running tasks[8];

static void
setup(void)
{
	queue.limit = 1;
	for (int i = 0; i < 2; i++) {
		kinds[i].limit = 1;
		routes[i].shares =
		    (struct share_set){.queue = &queue, .kind = &kinds[i]};
	}
	TAILQ_INIT(&backlog);
}

static void
teardown(void)
{
	for (int i = 0; i < 8; i++)
		if (tasks[i].lane != NULL)
			backlog_remove(&backlog, &tasks[i]);
	ck_assert(TAILQ_EMPTY(&backlog));
}

static void
claim(int task, int route, int64_t urgency, int64_t ms)
{
	tasks[task].route = &routes[route];
	tasks[task].shares = routes[route].shares;
	tasks[task].urgency = urgency;
	tasks[task].claimed = (struct mono){.us = 1000000 + ms * 1000};
	backlog_add(&backlog, &tasks[task]);
}

/* The number of the next task, which leaves; -1: none. */
static int
next(void)
{
	struct running *running = backlog_next(&backlog);

	if (running == NULL)
		return -1;
	backlog_remove(&backlog, running);
	return (int)(running - tasks);
}

START_TEST(a6_the_longest_path_goes_first_whatever_was_claimed_before)
{
	claim(0, 0, 5, 0);
	claim(1, 1, 2, 0);
	claim(2, 0, 2, 0);
	claim(3, 1, 1, BACKLOG_PATIENCE_MS - 1);
	ck_assert_int_eq(next(), 3);
	ck_assert_int_eq(next(), 1);
	ck_assert_int_eq(next(), 2);
	ck_assert_int_eq(next(), 0);
	ck_assert_int_eq(next(), -1);
}
END_TEST

START_TEST(b2_tasks_as_urgent_as_each_other_go_as_they_came)
{
	for (int i = 0; i < 4; i++)
		claim(i, 0, BACKLOG_URGENCY, i);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(next(), i);
}
END_TEST

START_TEST(c4_nobody_is_overtaken_for_long)
{
	claim(0, 0, 5, 0);
	for (int i = 1; i < 4; i++)
		claim(i, 1, 1, BACKLOG_PATIENCE_MS * (i + 1) / 3);
	ck_assert_int_eq(next(), 1);
	ck_assert_int_eq(next(), 0);
	ck_assert_int_eq(next(), 2);
}
END_TEST

START_TEST(what_has_no_slot_keeps_back_nobody)
{
	claim(0, 0, 1, 0);
	claim(1, 1, 5, 0);
	kinds[0].running = 1;
	ck_assert_int_eq(next(), 1);
	ck_assert_int_eq(next(), -1);
	ck_assert_int_eq(routes[0].waiting, 1);
	ck_assert_int_eq(routes[1].waiting, 0);
	queue.running = 1;
	kinds[0].running = 0;
	ck_assert_int_eq(next(), -1);
	queue.running = 0;
	ck_assert_int_eq(next(), 0);
}
END_TEST

START_TEST(the_oldest_of_a_route_is_found_behind_more_urgent_ones)
{
	claim(0, 0, 5, 1);
	claim(1, 0, 1, 2);
	claim(2, 1, 5, 0);
	ck_assert_ptr_eq(backlog_oldest(&backlog, &routes[0]), &tasks[0]);
	backlog_remove(&backlog, &tasks[0]);
	ck_assert_ptr_eq(backlog_oldest(&backlog, &routes[0]), &tasks[1]);
	backlog_remove(&backlog, &tasks[1]);
	ck_assert_ptr_null(backlog_oldest(&backlog, &routes[0]));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("worker_backlog");
	TCase *tests = unit_case(suite, "backlog");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(
	    tests, a6_the_longest_path_goes_first_whatever_was_claimed_before);
	tcase_add_test(tests, b2_tasks_as_urgent_as_each_other_go_as_they_came);
	tcase_add_test(tests, c4_nobody_is_overtaken_for_long);
	tcase_add_test(tests, what_has_no_slot_keeps_back_nobody);
	tcase_add_test(
	    tests, the_oldest_of_a_route_is_found_behind_more_urgent_ones);
	return unit_run(suite);
}
