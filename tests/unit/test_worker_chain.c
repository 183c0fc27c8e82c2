/* Chains: the order within them, and what a claim asks for. */
#include "daemon/worker/chain.h"

#include "daemon/worker/claim.h"
#include "tests/unit/unit.h"

static struct chain_list chains;
static struct running *tasks[6];

static void
make_tasks(void)
{
	TAILQ_INIT(&chains);
	for (int i = 0; i < 6; i++)
		tasks[i] = running_new(i + 1, 1);
}

static void
free_tasks(void)
{
	for (int i = 0; i < 6; i++)
		running_free(tasks[i]);
	ck_assert(TAILQ_EMPTY(&chains));
}

START_TEST(A3_a_chain_runs_in_the_order_in_which_it_was_told)
{
	for (int i = 1; i < 6; i++)
		chain_add(&chains, tasks[0], tasks[i]);
	for (int i = 0; i < 5; i++) {
		ck_assert_ptr_nonnull(tasks[i]->chain);
		ck_assert_ptr_eq(
		    chain_advance(&chains, tasks[i]), tasks[i + 1]);
		ck_assert_ptr_null(tasks[i]->chain);
		ck_assert_int_eq(tasks[i + 1]->state, RUNNING_CLAIMED);
	}
	ck_assert_ptr_null(tasks[5]->chain);
}
END_TEST

START_TEST(a_follower_leaves_from_anywhere_in_its_chain)
{
	for (int i = 1; i < 5; i++)
		chain_add(&chains, tasks[0], tasks[i]);
	chain_leave(&chains, tasks[2]);
	ck_assert_ptr_null(tasks[2]->chain);
	chain_leave(&chains, tasks[4]);
	ck_assert_ptr_eq(chain_advance(&chains, tasks[0]), tasks[1]);
	ck_assert_int_eq(tasks[3]->state, RUNNING_FOLLOWING);
	chain_leave(&chains, tasks[3]);
	ck_assert_ptr_null(tasks[1]->chain);
}
END_TEST

START_TEST(chains_know_nothing_of_each_other)
{
	chain_add(&chains, tasks[0], tasks[2]);
	chain_add(&chains, tasks[1], tasks[3]);
	chain_add(&chains, tasks[1], tasks[4]);
	ck_assert_ptr_eq(chain_advance(&chains, tasks[0]), tasks[2]);
	ck_assert_ptr_null(tasks[2]->chain);
	ck_assert_ptr_eq(tasks[4]->chain, tasks[1]->chain);
	chain_leave(&chains, tasks[3]);
	chain_leave(&chains, tasks[4]);
}
END_TEST

/* What a claim asks for: of one route whose queue has ten slots. */

static struct share_list queues, kinds;
static struct route_list routes;
static struct floors floors;
static struct claim claim;
static struct binding bound;
static struct route *route;

static void
make_route(void)
{
	route = route_get(&routes, 1, share_list_get_queue(&queues, "a"),
	    share_list_get(&kinds, "x"));
	route->binding = &bound;
	route->shares.queue->limit = 10;
	route->shares.queue->longer->limit = 10;
	route->shares.kind->limit = SHARE_NO_LIMIT;
}

static void
free_route(void)
{
	claim_free(&claim);
	route_list_free(&routes);
	share_list_free(&queues);
	share_list_free(&kinds);
}

static void
plan(double mean_us, size_t finished)
{
	struct claim_facts facts = {.routes = &routes,
	    .queues = &queues,
	    .floors = &floors,
	    .finished = finished,
	    .turn_us = 1000,
	    .now = {.us = 1}};

	route->shares.kind->mean_us = mean_us;
	claim_plan(&claim, &facts);
}

/* The turn brought so many, and so many that follow them. */
static void
bring(int got, int followed)
{
	route->got = got;
	route->followed = followed;
	claim_learn(&claim, &routes, got, false);
}

static const struct {
	double mean_us;
	int chain;
} lengths[] = {{0, 0}, {200, 31}, {2000, 5}, {10000, 1}, {10001, 0}, {1e6, 0}};

START_TEST(A3_of_quick_tasks_some_of_a_key_are_asked_for)
{
	plan(lengths[_i].mean_us, 0);
	ck_assert_int_eq(route->chain, lengths[_i].chain);
	ck_assert_int_eq(claim.followers > 0, lengths[_i].chain > 0);
}
END_TEST

START_TEST(A3_a_route_with_a_rate_or_a_pause_gets_no_chains)
{
	route->shares.queue->rated = true;
	route->shares.queue->tokens = 10;
	plan(200, 0);
	ck_assert_int_eq(route->chain, 0);
	route->shares.queue->rated = false;
	claim_pause(route, (struct mono){.us = 1});
	plan(200, 0);
	ck_assert_int_eq(route->chain, 0);
}
END_TEST

START_TEST(A3_what_follows_counts_in_what_is_claimed_ahead)
{
	plan(200, 0);
	ck_assert_int_eq(route->want, 610);
	ck_assert_int_eq(claim.followers, 610);
	route->shares.queue->following = 500;
	plan(200, 0);
	ck_assert_int_eq(route->want, 110);
	route->shares.queue->following = 2000; /* its slots are free */
	plan(200, 0);
	ck_assert_int_eq(route->want, 10);
}
END_TEST

START_TEST(A3_the_more_follow_each_the_fewer_are_wanted)
{
	plan(200, 0);
	bring(300, 300);
	plan(200, 0);
	ck_assert_int_eq(route->want, 305);
	bring(10, 10 * 15);
	plan(200, 0);
	ck_assert_int_eq(route->want, 39);
	plan(5000, 0); /* fewer may follow now */
	ck_assert_int_eq(route->want, 12);
	plan(200, 0);
	bring(39, 0);
	plan(200, 0);
	ck_assert_int_eq(route->want, 610);
}
END_TEST

START_TEST(A3_followers_that_fill_a_claim_are_more_behind_fewer_next_time)
{
	plan(200, 0);
	bring(610, 609);
	plan(200, 0);
	ck_assert_int_eq(route->want, 610);
	bring(610, 610);
	plan(200, 0);
	ck_assert_int_eq(route->want, 153);
	bring(153, 610);
	plan(200, 0);
	ck_assert_int_eq(route->want, 68);
	bring(68, 609); /* their lines had no more */
	plan(200, 0);
	ck_assert_int_eq(route->want, 68);
	bring(1220, 0); /* of no key */
	plan(200, 0);
	ck_assert_int_eq(route->want, 610);
}
END_TEST

START_TEST(A3_a_claim_that_followers_filled_was_cut_short)
{
	plan(200, 0);
	bring(107, claim.max + claim.followers - 107);
	ck_assert(!route->drained);
	bring(107, claim.max + claim.followers - 108);
	ck_assert(route->drained);
}
END_TEST

START_TEST(A3_tasks_wait_for_slots_behind_others_of_their_key_too)
{
	struct share share = {.limit = 2, .running = 2, .claimed = 2};

	share.usual_us = 1000;
	ck_assert(!share_is_supplied(&share, 1000));
	share.following = 3;
	ck_assert(share_is_supplied(&share, 1000));
	share.rated = true;
	share.tokens = 4;
	ck_assert_int_eq(share_token_room(&share), 1);
}
END_TEST

START_TEST(less_is_claimed_while_more_has_ended_than_a_turn_tells)
{
	plan(200, CLAIM_MAX + 600);
	ck_assert_int_eq(claim.max, 400);
	ck_assert_int_eq(claim.followers, 400);
	plan(200, (size_t)CLAIM_MAX * 3);
	ck_assert_int_eq(claim.max, CLAIM_MAX / 4);
	plan(20000, (size_t)CLAIM_MAX * 3); /* they are not quick */
	ck_assert_int_eq(claim.max, 16);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("worker_chain");
	TCase *tests = unit_case(suite, "chain");

	tcase_add_checked_fixture(tests, make_tasks, free_tasks);
	tcase_add_test(
	    tests, A3_a_chain_runs_in_the_order_in_which_it_was_told);
	tcase_add_test(tests, a_follower_leaves_from_anywhere_in_its_chain);
	tcase_add_test(tests, chains_know_nothing_of_each_other);
	tests = unit_case(suite, "claim");
	tcase_add_checked_fixture(tests, make_route, free_route);
	tcase_add_loop_test(tests,
	    A3_of_quick_tasks_some_of_a_key_are_asked_for, 0,
	    (int)(sizeof(lengths) / sizeof(lengths[0])));
	tcase_add_test(tests, A3_a_route_with_a_rate_or_a_pause_gets_no_chains);
	tcase_add_test(tests, A3_what_follows_counts_in_what_is_claimed_ahead);
	tcase_add_test(tests, A3_the_more_follow_each_the_fewer_are_wanted);
	tcase_add_test(tests,
	    A3_followers_that_fill_a_claim_are_more_behind_fewer_next_time);
	tcase_add_test(tests, A3_a_claim_that_followers_filled_was_cut_short);
	tcase_add_test(
	    tests, A3_tasks_wait_for_slots_behind_others_of_their_key_too);
	tcase_add_test(
	    tests, less_is_claimed_while_more_has_ended_than_a_turn_tells);
	return unit_run(suite);
}
