/* What is about to end: counted, claimed ahead of, and looked at in time. */
#include "daemon/worker/due.h"

#include <event2/event.h>
#include <stdlib.h>

#include "daemon/worker/worker.h"
#include "tests/unit/unit.h"

enum { SLOTS = 16, TURN_US = 2000 };

static struct worker *worker;
static struct share *queue, *kind;
static struct running tasks[SLOTS];
static int kicks;

static void
on_pump(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what, (void)argument;
	kicks++;
}

static void
setup(void)
{
	worker = calloc(1, sizeof(*worker));
	ck_assert_ptr_nonnull(worker);
	worker->base = event_base_new();
	worker->turn.pump = event_new(worker->base, -1, 0, on_pump, NULL);
	worker->turn.us = TURN_US;
	TAILQ_INIT(&worker->started);
	due_open(worker);
	queue = share_list_get_queue(&worker->queues, "q");
	kind = share_list_get(&worker->kinds, "k");
	queue->limit = queue->longer->limit = SLOTS;
	kind->limit = SHARE_NO_LIMIT;
	kicks = 0;
}

static void
teardown(void)
{
	due_close(worker);
	event_free(worker->turn.pump);
	event_base_free(worker->base);
	share_list_free(&worker->queues);
	share_list_free(&worker->kinds);
	free(worker);
}

/* One of the kind takes so long. */
static void
learn(int64_t us)
{
	struct mono began = {.us = 1}, ended = {.us = 1 + us};

	share_started(kind, began);
	share_ended(kind, began, ended);
}

/* All slots have one of the kind since then. */
static void
fill(struct mono since)
{
	for (int i = 0; i < SLOTS; i++) {
		tasks[i] = (struct running){
		    .slot_at = since, .shares = {.queue = queue, .kind = kind}};
		share_set_claimed(&tasks[i].shares);
		share_set_started(&tasks[i].shares, since);
		TAILQ_INSERT_TAIL(&worker->started, &tasks[i], link);
	}
}

static struct mono
after(int64_t us)
{
	return (struct mono){.us = 1000000 + us};
}

static int
ahead_at(int64_t us)
{
	due_count(worker, after(us));
	return share_ahead(queue, kind, 0, TURN_US, after(us));
}

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
	    {60000, 59000, 16}, /* however slow they are */
	    {160000, 140000, 1}, {160000, 155000, 16}, {160000, 211000, 1},
	    {210000, 209000, 1}, /* slow: they wait in their line */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		learn(cases[i].runs_us);
		fill(after(0));
		ck_assert_int_eq(ahead_at(cases[i].age_us), cases[i].ahead);
		teardown();
		setup();
	}
}
END_TEST

START_TEST(they_are_due_soon_when_no_answer_would_come_before)
{
	learn(20000);
	fill(after(0));
	due_count(worker, after(5900));
	ck_assert_int_eq(queue->due, 0);
	due_count(worker, after(6000));
	ck_assert_int_eq(queue->due, SLOTS);
	ck_assert_int_eq(kind->due, SLOTS);
	ck_assert_int_eq(queue->due_soon, 0);
	due_count(worker, after(17000));
	ck_assert_int_eq(queue->due_soon, SLOTS);
}
END_TEST

START_TEST(a_kind_that_gets_shorter_is_due_sooner)
{
	for (int i = 0; i < 100; i++)
		learn(40000);
	for (int i = 0; i < 8; i++)
		learn(20000);
	fill(after(0));
	ck_assert_double_gt(kind->usual_us, 30000);
	ck_assert_int_eq(ahead_at(10000), SLOTS);
}
END_TEST

START_TEST(what_waits_is_not_enough_if_more_is_due_before_an_answer)
{
	learn(20000);
	queue->usual_us = 20000;
	fill(after(0));
	for (int i = 0; i < SLOTS / 2; i++)
		share_claimed(queue);
	due_count(worker, after(16900));
	ck_assert(share_is_supplied(queue, TURN_US));
	due_count(worker, after(17000));
	ck_assert(!share_is_supplied(queue, TURN_US));
	for (int i = 0; i < SLOTS / 2; i++)
		share_claimed(queue);
	ck_assert(share_is_supplied(queue, TURN_US));
}
END_TEST

START_TEST(a3_of_slow_tasks_only_what_ends_in_time_is_known_counts)
{
	learn(160000);
	learn(165000);
	fill(after(0));
	ck_assert_int_eq(ahead_at(155000), SLOTS);
	learn(1000);
	learn(1000); /* now they differ by too much */
	ck_assert_int_eq(ahead_at(155000), 1);
}
END_TEST

START_TEST(quick_ones_are_a_matter_of_their_rate)
{
	learn(5000);
	fill(after(0));
	ck_assert_int_eq(ahead_at(4000), SLOTS * 29 / 5);
	ck_assert_int_eq(queue->due, 0);
}
END_TEST

START_TEST(a_kind_not_measured_yet_gets_the_slots_that_are_due)
{
	struct share *other = share_list_get(&worker->kinds, "other");

	learn(160000);
	fill(after(0));
	due_count(worker, after(140000));
	ck_assert_int_eq(
	    share_room(queue, other, 0, TURN_US, after(140000)), 0);
	due_count(worker, after(155000));
	ck_assert_int_eq(
	    share_room(queue, other, 0, TURN_US, after(155000)), SLOTS);
}
END_TEST

/* Those that started later stand behind. */
START_TEST(each_task_counts_by_its_own_start)
{
	learn(20000);
	fill(after(0));
	for (int i = 4; i < SLOTS; i++)
		tasks[i].slot_at = after(5000 * (i / 4));
	due_count(worker, after(17000));
	ck_assert_int_eq(queue->due, 12);
	ck_assert_int_eq(queue->due_soon, 4);
	due_count(worker, after(17000)); /* anew each time */
	ck_assert_int_eq(queue->due, 12);
}
END_TEST

static void
expect(struct running *running, int64_t us)
{
	running->expect_us = us;
	share_set_expect(&running->shares);
}

/* Before one has ended nothing else is known of them. */
START_TEST(tasks_that_expect_something_are_due_by_that)
{
	fill(after(0));
	for (int i = 0; i < SLOTS; i++)
		expect(&tasks[i], i < 8 ? 40000 : 20000);
	ck_assert_int_eq(ahead_at(5900), 0);
	ck_assert_int_eq(ahead_at(6000), 8);
	ck_assert_int_eq(ahead_at(26000), SLOTS);
	ck_assert_int_eq(ahead_at(41000), 8); /* overdue */
}
END_TEST

START_TEST(quick_and_slow_ones_are_not_due_by_what_they_expect)
{
	fill(after(0));
	for (int i = 0; i < SLOTS; i++)
		expect(&tasks[i], i < 8 ? 5000 : 210000);
	ck_assert_int_eq(ahead_at(4000), 0);
	ck_assert_int_eq(ahead_at(209000), 0);
}
END_TEST

START_TEST(who_expected_something_wrong_is_not_believed)
{
	static const struct {
		int64_t ran_us;
		bool believed;
	} cases[] = {{20000, true}, {40000, true}, {40001, false},
	    {10000, true}, {9999, false}};

	fill(after(0));
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		for (int k = 0; k < SLOTS; k++)
			expect(&tasks[k], 20000);
		share_set_expected(&tasks[0].shares, 20000, cases[i].ran_us);
		ck_assert_int_eq(
		    ahead_at(15000), cases[i].believed ? SLOTS : 0);
	}
}
END_TEST

/* Lengths that shrink: the usual time is more. */
START_TEST(what_waits_counts_as_it_was_told_where_that_is_less)
{
	static const struct {
		int64_t expect_us;
		bool supplied;
	} cases[] = {{0, true}, {9000, false}, {9600, true}, {90000, true}};
	struct share_set set = {.queue = queue, .kind = kind};

	learn(10000);
	kind->limit = SLOTS;
	fill(after(0));
	for (int i = 0; i < 5; i++)
		share_set_claimed(&set);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		for (int k = 0; k < 5; k++)
			share_set_told(&set, cases[i].expect_us);
		ck_assert(
		    share_is_supplied(kind, TURN_US) == cases[i].supplied);
		for (int k = 0; k < 5; k++)
			share_set_untold(&set, cases[i].expect_us);
	}
	ck_assert(share_is_supplied(kind, TURN_US));
}
END_TEST

/* The timer is set to `left_us` later, whenever that is. */
static void
check_timer(int64_t us, int64_t left_us)
{
	struct timeval before, at, later;

	evutil_gettimeofday(&before, NULL);
	due_count(worker, after(us));
	evutil_gettimeofday(&later, NULL);
	ck_assert(evtimer_pending(worker->due.timer, &at));
	evutil_timersub(&at, &before, &before);
	ck_assert_int_ge(before.tv_usec, left_us - 1000);
	evutil_timersub(&at, &later, &later);
	ck_assert_int_le(later.tv_usec, left_us + 1000);
}

START_TEST(a_turn_is_thought_of_when_time_makes_more_due)
{
	learn(20000);
	fill(after(0));
	for (int i = 4; i < SLOTS; i++)
		tasks[i].slot_at = after(5000);
	check_timer(1000, 16000);
	check_timer(18000, 4000); /* for the others */
	event_base_loop(worker->base, EVLOOP_ONCE);
	event_base_loop(worker->base, EVLOOP_NONBLOCK);
	ck_assert_int_eq(kicks, 1);
	due_count(worker, after(22000)); /* all are */
	ck_assert(!evtimer_pending(worker->due.timer, NULL));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("worker_due");
	TCase *tests = unit_case(suite, "due");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(
	    tests, tasks_that_started_together_are_followed_by_as_many);
	tcase_add_test(
	    tests, they_are_due_soon_when_no_answer_would_come_before);
	tcase_add_test(tests, a_kind_that_gets_shorter_is_due_sooner);
	tcase_add_test(
	    tests, what_waits_is_not_enough_if_more_is_due_before_an_answer);
	tcase_add_test(
	    tests, a3_of_slow_tasks_only_what_ends_in_time_is_known_counts);
	tcase_add_test(tests, quick_ones_are_a_matter_of_their_rate);
	tcase_add_test(
	    tests, a_kind_not_measured_yet_gets_the_slots_that_are_due);
	tcase_add_test(tests, each_task_counts_by_its_own_start);
	tcase_add_test(tests, tasks_that_expect_something_are_due_by_that);
	tcase_add_test(
	    tests, quick_and_slow_ones_are_not_due_by_what_they_expect);
	tcase_add_test(tests, who_expected_something_wrong_is_not_believed);
	tcase_add_test(
	    tests, what_waits_counts_as_it_was_told_where_that_is_less);
	tcase_add_test(tests, a_turn_is_thought_of_when_time_makes_more_due);
	return unit_run(suite);
}
