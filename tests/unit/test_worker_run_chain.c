/* A worker's way along chains, with a handler that ends what it is told to. */
#include "daemon/worker/run.h"

#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"
#include "daemon/worker/worker.h"
#include "tests/unit/unit.h"

/*
 * A worker with one queue, one kind and a handler that ends nothing by itself:
 * the test is PostgreSQL and the tasks.
 */

enum { KEYS = 12, CHAIN = 7, HELD = KEYS * CHAIN };

struct handler {
	int unused;
};

static struct worker *worker;
static struct scoreboard *shown; /* as a supervisor sees it */
static struct config config;
static char kind_name[] = "k";
static struct handler_config kind_config = {.kind = kind_name};
static struct generation generation;
static struct binding bound;
static struct route *route;
static struct task *begun[KEYS]; /* what runs, by key */
static int64_t latest[KEYS];
static int starts[HELD];
static int64_t last_id;

static int
key_of(const struct task *task)
{
	return (int)(task->lease - 1);
}

static void
test_start(struct handler *handler, struct task *task)
{
	int key = key_of(task);

	(void)handler;
	ck_assert_ptr_null(begun[key]); /* never two of a key */
	ck_assert_int_gt(task->id, latest[key]);
	begun[key] = task;
	latest[key] = task->id;
	starts[task->id % HELD]++;
}

static void
end(int key, enum outcome_kind kind)
{
	struct outcome outcome = {.kind = kind, .after_ms = -1};
	struct task *task = begun[key];

	begun[key] = NULL;
	run_done(task, &outcome, worker);
}

static void
test_cancel(struct handler *handler, struct task *task,
    enum cancel_reason reason, int64_t grace_ms)
{
	(void)handler, (void)task, (void)reason, (void)grace_ms;
}

static const struct handler_ops ops = {.name = "test",
    .ignores_payload = true,
    .ignores_inputs = true,
    .start = test_start,
    .cancel = test_cancel};

static void
on_pump(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what, (void)argument;
}

static void
make_worker(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	worker = calloc(1, sizeof(*worker));
	worker->config = &config;
	worker->base = event_base_new();
	shown = scoreboard_new();
	worker->board = scoreboard_open(dup(scoreboard_fd(shown)));
	worker->turn.pump = event_new(worker->base, -1, 0, on_pump, NULL);
	worker->turn.us = 1000;
	TAILQ_INIT(&worker->generations);
	TAILQ_INIT(&worker->fetching);
	TAILQ_INIT(&worker->started);
	TAILQ_INIT(&worker->finished);
	TAILQ_INIT(&worker->sent);
	run_open(worker);
	config.max_result_bytes = 1 << 20;
	generation.config = &config;
	TAILQ_INSERT_HEAD(&worker->generations, &generation, link);
	kind_config.limits.max_attempts = 3;
	bound = (struct binding){
	    .generation = &generation, .config = &kind_config, .ops = &ops};
	route = route_get(&worker->routes, 1,
	    share_list_get_queue(&worker->queues, "q"),
	    share_list_get(&worker->kinds, "k"));
	route->binding = &bound;
	route->shares.queue->limit = 5;
	route->shares.kind->limit = SHARE_NO_LIMIT;
	for (int i = 0; i < KEYS; i++) {
		begun[i] = NULL;
		latest[i] = 0;
	}
	for (int i = 0; i < HELD; i++)
		starts[i] = 0;
	last_id = 0;
}

static void
forget_finished(void)
{
	struct running *running;

	while ((running = TAILQ_FIRST(&worker->finished)) != NULL)
		run_forget(worker, running);
}

static void
free_worker(void)
{
	forget_finished();
	ck_assert_uint_eq(worker->table.count, 0);
	ck_assert(TAILQ_EMPTY(&worker->run.chains));
	ck_assert_int_eq(route->shares.queue->following, 0);
	ck_assert_int_eq(route->shares.kind->following, 0);
	ck_assert_int_eq(route->shares.queue->claimed, 0);
	ck_assert_int_eq(worker->run.slots, 0);
	ck_assert_int_eq(bound.tasks, 0);
	run_close(worker);
	event_free(worker->turn.pump);
	event_base_free(worker->base);
	scoreboard_free(worker->board);
	scoreboard_free(shown);
	running_table_free(&worker->table);
	route_list_free(&worker->routes);
	share_list_free(&worker->queues);
	share_list_free(&worker->kinds);
	free(worker);
}

static struct running *
bring(int key, struct running *first)
{
	struct running *running = running_new(++last_id, key + 1);

	running->route = route;
	running->task.attempt = 1;
	if (first == NULL)
		run_claimed(worker, running);
	else
		run_follow(worker, running, first);
	return running;
}

/* Returns the first. */
static struct running *
bring_chain(int key, int followers)
{
	struct running *first = bring(key, NULL);

	for (int i = 0; i < followers; i++)
		bring(key, first);
	return first;
}

static int
count_outcomes(char outcome)
{
	const struct running *running;
	int count = 0;

	TAILQ_FOREACH(running, &worker->finished, link)
	count += running->finish.outcome == outcome;
	return count;
}

static void
check_begun(int64_t id)
{
	run_backlog(worker);
	ck_assert_ptr_nonnull(begun[0]);
	ck_assert_int_eq(begun[0]->id, id);
}

START_TEST(A3_the_next_starts_however_the_one_before_ended)
{
	bring_chain(0, 5);
	check_begun(1);
	end(0, OUTCOME_SUCCEEDED);
	check_begun(2);
	end(0, OUTCOME_FAILED);
	check_begun(3);
	end(0, OUTCOME_FAILED_HARD);
	check_begun(4);
	end(0, OUTCOME_TRY_LATER);
	check_begun(5);
	end(0, OUTCOME_RECORDED);
	check_begun(6);
	run_cancel(worker, running_of(begun[0]), CANCEL_TIMEOUT, -1);
	end(0, OUTCOME_CANCELLED);
}
END_TEST

START_TEST(A3_a_follower_stands_before_what_waits_in_its_route)
{
	struct running *other;

	route->shares.queue->limit = 1;
	bring_chain(0, 1);
	other = bring(1, NULL);
	check_begun(1);
	end(0, OUTCOME_SUCCEEDED);
	check_begun(2);
	ck_assert_ptr_null(begun[1]);
	end(0, OUTCOME_SUCCEEDED);
	run_backlog(worker);
	ck_assert_ptr_eq(begun[1], &other->task);
	end(1, OUTCOME_SUCCEEDED);
}
END_TEST

START_TEST(A3_a_follower_needs_a_slot_and_a_token_like_any_other)
{
	bring_chain(0, 2);
	check_begun(1);
	route->shares.queue->limit = 0;
	end(0, OUTCOME_SUCCEEDED);
	run_backlog(worker);
	ck_assert_ptr_null(begun[0]);
	route->shares.queue->limit = 1;
	route->shares.kind->rated = true;
	run_backlog(worker);
	ck_assert_ptr_null(begun[0]);
	route->shares.kind->tokens = 1;
	check_begun(2);
	end(0, OUTCOME_SUCCEEDED);
	run_backlog(worker);
	ck_assert_ptr_null(begun[0]);
	run_give_back(worker);
	ck_assert_int_eq(count_outcomes('b'), 1);
}
END_TEST

START_TEST(A3_a_follower_that_is_cancelled_ends_at_once)
{
	struct running *first = bring_chain(0, 3);

	run_backlog(worker);
	run_cancel(
	    worker, running_table_find(&worker->table, 3), CANCEL_ASKED, -1);
	ck_assert_int_eq(count_outcomes('c'), 1);
	ck_assert_ptr_eq(begun[0], &first->task);
	end(0, OUTCOME_SUCCEEDED);
	check_begun(2);
	end(0, OUTCOME_SUCCEEDED);
	check_begun(4);
	end(0, OUTCOME_SUCCEEDED);
}
END_TEST

START_TEST(A3_a_first_that_is_cancelled_before_its_start_lets_the_next_go)
{
	struct running *first = bring_chain(0, 1);

	run_cancel(worker, first, CANCEL_ASKED, -1);
	check_begun(2);
	end(0, OUTCOME_SUCCEEDED);
}
END_TEST

START_TEST(followers_go_back_with_what_goes_back)
{
	bring_chain(0, 3);
	run_backlog(worker);
	end(0, OUTCOME_NOT_BEGUN);
	ck_assert_int_eq(count_outcomes('b'), 4);
	ck_assert(TAILQ_EMPTY(&worker->run.backlog));
}
END_TEST

START_TEST(C2_a_drain_gives_back_what_follows_a_task_that_goes_on)
{
	bring_chain(0, 3);
	run_backlog(worker);
	run_give_back(worker);
	ck_assert_int_eq(count_outcomes('b'), 3);
	end(0, OUTCOME_SUCCEEDED);
	run_backlog(worker);
	ck_assert_ptr_null(begun[0]);
}
END_TEST

START_TEST(A3_nothing_follows_what_may_still_run_in_postgresql)
{
	bring_chain(0, 2);
	run_backlog(worker);
	running_of(begun[0])->maybe_recorded = true;
	end(0, OUTCOME_TRY_LATER);
	ck_assert_int_eq(count_outcomes('u'), 1);
	ck_assert_int_eq(count_outcomes('b'), 2);
}
END_TEST

START_TEST(a_follower_without_its_first_goes_back)
{
	struct running *first = bring_chain(0, 0);

	run_cancel(worker, first, CANCEL_ASKED, -1);
	bring(0, first);
	bring(0, first);
	ck_assert_int_eq(count_outcomes('b'), 2);
}
END_TEST

/* It ended, or is gone: its lease is given up, and the others go on. */
START_TEST(A3_followers_of_which_no_row_came_go_back_and_no_others)
{
	bring_chain(0, 4);
	bring_chain(1, 1);
	running_table_find(&worker->table, 3)->task.attempt = 0;
	running_table_find(&worker->table, 5)->task.attempt = 0;
	running_table_find(&worker->table, 7)->task.attempt = 0;
	run_give_back_unread(worker);
	ck_assert_int_eq(count_outcomes('b'), 3);
	check_begun(1);
	end(0, OUTCOME_SUCCEEDED);
	check_begun(2);
	end(0, OUTCOME_SUCCEEDED);
	check_begun(4);
	end(0, OUTCOME_SUCCEEDED);
	end(1, OUTCOME_SUCCEEDED);
	run_backlog(worker);
	ck_assert_ptr_null(begun[0]);
	ck_assert_ptr_null(begun[1]);
}
END_TEST

START_TEST(a_handler_that_was_removed_starts_no_follower)
{
	bring_chain(0, 3);
	run_backlog(worker);
	route->binding = NULL;
	end(0, OUTCOME_SUCCEEDED);
	run_backlog(worker);
	ck_assert_int_eq(count_outcomes('b'), 3);
}
END_TEST

/* A finish presses for a turn if it makes room for something elsewhere. */
START_TEST(a_turn_can_wait_until_a_chain_is_over)
{
	bring_chain(0, 1);
	run_backlog(worker);
	end(0, OUTCOME_SUCCEEDED);
	ck_assert(!worker->finished_presses);
	check_begun(2);
	end(0, OUTCOME_SUCCEEDED);
	ck_assert(worker->finished_presses);
}
END_TEST

static const enum outcome_kind ends[] = {OUTCOME_SUCCEEDED, OUTCOME_SUCCEEDED,
    OUTCOME_FAILED, OUTCOME_FAILED_HARD, OUTCOME_TRY_LATER, OUTCOME_NOT_BEGUN,
    OUTCOME_RECORDED};

static void
step(int at)
{
	struct running *running;
	int key = rand() % KEYS;

	switch (rand() % 8) {
	case 0:
		if (at % 100 == 0)
			run_give_back(worker);
		break;
	case 1:
		running =
		    running_table_find(&worker->table, rand() % last_id + 1);
		if (running != NULL && running->state < RUNNING_FETCHING)
			run_cancel(worker, running, CANCEL_ASKED, -1);
		break;
	case 2:
		route->shares.queue->limit = rand() % KEYS;
		break;
	default:
		if (begun[key] != NULL)
			end(key, ends[(size_t)rand() %
				      (sizeof(ends) / sizeof(ends[0]))]);
		break;
	}
	run_backlog(worker);
}

START_TEST(A3_whatever_happens_no_two_of_a_chain_run_and_none_runs_twice)
{
	srand((unsigned)_i);
	for (int key = 0; key < KEYS; key++)
		bring_chain(key, CHAIN - 1);
	for (int at = 0; at < 2000; at++)
		step(at);
	route->shares.queue->limit = KEYS;
	for (int at = 0; worker->table.count > 0 && at < HELD; at++) {
		run_backlog(worker);
		for (int key = 0; key < KEYS; key++)
			if (begun[key] != NULL)
				end(key, OUTCOME_SUCCEEDED);
		forget_finished();
	}
	for (int i = 0; i < HELD; i++)
		ck_assert_int_le(starts[i], 1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("worker_run_chain");
	TCase *tests = unit_case(suite, "run");

	tcase_add_checked_fixture(tests, make_worker, free_worker);
	tcase_add_test(tests, A3_the_next_starts_however_the_one_before_ended);
	tcase_add_test(
	    tests, A3_a_follower_stands_before_what_waits_in_its_route);
	tcase_add_test(
	    tests, A3_a_follower_needs_a_slot_and_a_token_like_any_other);
	tcase_add_test(tests, A3_a_follower_that_is_cancelled_ends_at_once);
	tcase_add_test(tests,
	    A3_a_first_that_is_cancelled_before_its_start_lets_the_next_go);
	tcase_add_test(tests, followers_go_back_with_what_goes_back);
	tcase_add_test(
	    tests, C2_a_drain_gives_back_what_follows_a_task_that_goes_on);
	tcase_add_test(
	    tests, A3_nothing_follows_what_may_still_run_in_postgresql);
	tcase_add_test(tests, a_follower_without_its_first_goes_back);
	tcase_add_test(
	    tests, A3_followers_of_which_no_row_came_go_back_and_no_others);
	tcase_add_test(tests, a_handler_that_was_removed_starts_no_follower);
	tcase_add_test(tests, a_turn_can_wait_until_a_chain_is_over);
	tcase_add_loop_test(tests,
	    A3_whatever_happens_no_two_of_a_chain_run_and_none_runs_twice, 0,
	    20);
	return unit_run(suite);
}
