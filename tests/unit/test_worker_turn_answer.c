/* The rows of a turn become tasks in the backlog and chains behind them. */
#include "daemon/worker/turn_answer.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "daemon/worker/row.h"
#include "daemon/worker/statements.h"
#include "daemon/worker/worker.h"
#include "tests/unit/unit.h"

enum { LEASE = 7, URGENCY = 44 };

static struct worker *worker;
static struct scoreboard *shown; /* as a supervisor sees it */
static struct route *route;
static PGresult *answer;

static void
on_pump(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what, (void)argument;
}

static PGresult *
make_answer(void)
{
	PGresAttDesc columns[TURN_EXPECT_MS + 1] = {0};
	char name[] = "column";

	for (int i = 0; i <= TURN_EXPECT_MS; i++)
		columns[i].name = name;
	answer = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	PQsetResultAttrs(answer, TURN_EXPECT_MS + 1, columns);
	return answer;
}

static void
make_worker(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	worker = calloc(1, sizeof(*worker));
	worker->base = event_base_new();
	shown = scoreboard_new();
	worker->board = scoreboard_open(dup(scoreboard_fd(shown)));
	worker->turn.pump = event_new(worker->base, -1, 0, on_pump, NULL);
	worker->turn.looking = true;
	TAILQ_INIT(&worker->finished);
	TAILQ_INIT(&worker->sent);
	run_open(worker);
	route = route_get(&worker->routes, 1,
	    share_list_get_queue(&worker->queues, "q"),
	    share_list_get(&worker->kinds, "k"));
	answer = make_answer();
}

static void
free_worker(void)
{
	struct running *running;

	run_give_back(worker);
	while ((running = TAILQ_FIRST(&worker->finished)) != NULL)
		run_forget(worker, running);
	ck_assert_uint_eq(worker->table.count, 0);
	ck_assert_uint_eq(worker->held_bytes, 0);
	ck_assert(TAILQ_EMPTY(&worker->run.chains));
	ck_assert_int_eq(route->shares.queue->following, 0);
	ck_assert_int_eq(route->shares.queue->claimed, 0);
	ck_assert_int_eq(route->shares.queue->told, 0);
	ck_assert_int_eq(route->shares.queue->told_us, 0);
	PQclear(answer);
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

static void
put(int row, int column, const char *value)
{
	char copy[64];

	snprintf(copy, sizeof(copy), "%s", value);
	ck_assert(PQsetvalue(answer, row, column, copy, (int)strlen(copy)));
}

static int
add_task(const char *what, const char *id, const char *payload)
{
	int row = PQntuples(answer);

	put(row, TURN_WHAT, what);
	put(row, TURN_TASK, id);
	put(row, TURN_ATTEMPT, "1");
	put(row, TURN_HAS_NEEDS, "f");
	put(row, TURN_PAYLOAD, payload);
	put(row, TURN_EXPECT_MS, "2.5");
	return row;
}

static void
add_first(const char *id, const char *of_route, const char *followers)
{
	int row = add_task("c", id, "first");

	put(row, TURN_LEASE, "7");
	put(row, TURN_ROUTE, of_route);
	put(row, TURN_SEQ, "44");
	put(row, TURN_FOLLOWERS, followers);
}

static void
take(void)
{
	turn_on_answer(answer, worker);
	PQclear(answer);
	answer = make_answer();
}

static struct running *
task(int64_t id)
{
	return running_table_find(&worker->table, id);
}

/* The ids of those that follow, as digits. */
static int
behind(int64_t first)
{
	const struct running *running;
	int ids = 0;

	if (task(first)->chain == NULL)
		return 0;
	TAILQ_FOREACH(running, &task(first)->chain->followers, link)
	ids = ids * 10 + (int)running->task.id;
	return ids;
}

static void
check_given_back(int64_t id)
{
	ck_assert_ptr_nonnull(task(id));
	ck_assert_int_eq(task(id)->state, RUNNING_FINISHED);
	ck_assert_int_eq(task(id)->finish.outcome, 'b');
	ck_assert_int_eq(task(id)->task.lease, LEASE);
}

START_TEST(A3_rows_in_any_order_make_chains_in_their_order)
{
	add_task("n", "3", "third");
	add_first("4", "1", "{}");
	add_task("n", "5", "fifth");
	add_first("1", "1", "{5,2,3}");
	add_task("n", "2", "second");
	take();
	ck_assert_int_eq(behind(1), 523);
	ck_assert_int_eq(behind(4), 0);
	ck_assert_int_eq(route->got, 2);
	ck_assert_int_eq(route->followed, 3);
	ck_assert_int_eq(task(1)->state, RUNNING_BACKLOG);
	for (int id = 1; id <= 5; id++) {
		ck_assert_int_eq(task(id)->task.lease, LEASE);
		ck_assert_int_eq(task(id)->task.attempt, 1);
		ck_assert_int_eq(task(id)->urgency, URGENCY);
		ck_assert_int_eq(task(id)->expect_us, 2500);
		ck_assert_ptr_eq(task(id)->route, route);
	}
	ck_assert_str_eq(task(2)->payload, "second");
	ck_assert_str_eq(task(5)->payload, "fifth");
}
END_TEST

/* It ended meanwhile: it is not run, and stays in no lease. */
START_TEST(A3_B3_a_follower_of_which_no_row_comes_goes_back)
{
	add_first("1", "1", "{2,3,4}");
	add_first("5", "1", "{6}");
	add_task("n", "3", "third");
	take();
	ck_assert_int_eq(behind(1), 3);
	ck_assert_int_eq(behind(5), 0);
	check_given_back(2);
	check_given_back(4);
	check_given_back(6);
	ck_assert_int_eq(task(5)->state, RUNNING_BACKLOG);
}
END_TEST

START_TEST(A3_whom_nobody_names_follows_nobody)
{
	add_first("1", "1", "{2}");
	add_task("n", "2", "second");
	add_task("n", "3", "third");
	take();
	ck_assert_int_eq(behind(1), 2);
	ck_assert_ptr_null(task(3));
}
END_TEST

START_TEST(A3_a_chain_of_an_unknown_route_goes_back)
{
	add_first("1", "99", "{2,3}");
	add_task("n", "2", "second");
	add_task("n", "3", "third");
	take();
	for (int id = 1; id <= 3; id++)
		check_given_back(id);
	ck_assert(TAILQ_EMPTY(&worker->run.backlog));
}
END_TEST

START_TEST(B2_a_follower_that_is_claimed_twice_is_held_once)
{
	add_first("1", "1", "{2,3}");
	add_task("n", "2", "second");
	add_task("n", "3", "third");
	take();
	add_first("4", "1", "{3}");
	add_task("n", "3", "again");
	take();
	ck_assert_int_eq(behind(1), 2);
	ck_assert_int_eq(behind(4), 3);
	ck_assert_str_eq(task(3)->payload, "again");
	ck_assert_uint_eq(worker->table.count, 4);
}
END_TEST

static const struct {
	const char *value;
	int count;
	int64_t sum;
} arrays[] = {{"", 0, 0}, {"{}", 0, 0}, {"{5}", 1, 5}, {"{-3,9,1}", 3, 7},
    {"{9223372036854775807}", 1, INT64_MAX},
    {"{-9223372036854775808}", 1, INT64_MIN}};

/* Lengths are added up. */
START_TEST(what_is_told_to_take_longer_than_a_life_counts_for_nothing)
{
	add_first("1", "1", "{}");
	put(0, TURN_EXPECT_MS, "1e12");
	add_first("2", "1", "{}");
	put(1, TURN_EXPECT_MS, "9e11");
	take();
	ck_assert_int_eq(task(1)->expect_us, 0);
	ck_assert_int_eq(task(2)->expect_us, 900000000000000);
	ck_assert_int_eq(route->shares.queue->told, 1);
	ck_assert_int_eq(route->shares.queue->told_us, 900000000000000);
}
END_TEST

START_TEST(an_array_is_read_to_its_end)
{
	const char *at = arrays[_i].value;
	int64_t number, sum = 0;
	int count = 0;

	for (; row_next_int(&at, &number); count++)
		sum += number;
	ck_assert_int_eq(count, arrays[_i].count);
	ck_assert_int_eq(sum, arrays[_i].sum);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("worker_turn_answer");
	TCase *tests = unit_case(suite, "chains");

	tcase_add_checked_fixture(tests, make_worker, free_worker);
	tcase_add_test(tests, A3_rows_in_any_order_make_chains_in_their_order);
	tcase_add_test(tests, A3_B3_a_follower_of_which_no_row_comes_goes_back);
	tcase_add_test(tests, A3_whom_nobody_names_follows_nobody);
	tcase_add_test(tests, A3_a_chain_of_an_unknown_route_goes_back);
	tcase_add_test(tests, B2_a_follower_that_is_claimed_twice_is_held_once);
	tcase_add_test(
	    tests, what_is_told_to_take_longer_than_a_life_counts_for_nothing);
	tests = unit_case(suite, "arrays");
	tcase_add_loop_test(tests, an_array_is_read_to_its_end, 0,
	    (int)(sizeof(arrays) / sizeof(arrays[0])));
	return unit_run(suite);
}
