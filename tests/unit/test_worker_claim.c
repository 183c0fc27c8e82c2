#include "daemon/worker/claim.h"

#include "daemon/worker/pace.h"
#include "tests/unit/unit.h"

/* Two queues of 10 and 4 slots with two kinds each, the routes 1 to 4. */
static struct share_list queues, kinds;
static struct route_list routes;
static struct floors floors;
static struct claim claim;
static struct binding bound;

static void
add_route(int id, const char *queue, const char *kind)
{
	struct route *route = route_get(&routes, id,
	    share_list_get_queue(&queues, queue), share_list_get(&kinds, kind));

	route->binding = &bound;
}

static void
set_limit(struct share *share, int total)
{
	share_set_total(share, total);
	share_set_limit(share, 1, 0);
}

static void
setup(void)
{
	add_route(1, "a", "x");
	add_route(2, "a", "y");
	add_route(3, "b", "x");
	add_route(4, "b", "y");
	set_limit(share_list_get_queue(&queues, "a"), 10);
	set_limit(share_list_get_queue(&queues, "b"), 4);
	share_list_get(&kinds, "x")->limit = SHARE_NO_LIMIT;
	share_list_get(&kinds, "y")->limit = 3;
}

static void
teardown(void)
{
	claim_free(&claim);
	floors_forget(&floors);
	route_list_free(&routes);
	share_list_free(&queues);
	share_list_free(&kinds);
}

static struct claim_facts
facts_at(size_t held_bytes, int64_t now_us)
{
	return (struct claim_facts){.routes = &routes,
	    .queues = &queues,
	    .floors = &floors,
	    .held_bytes = held_bytes,
	    .turn_us = 1000,
	    .now = {.us = now_us}};
}

static void
plan(size_t held_bytes, int64_t now_us)
{
	struct claim_facts facts = facts_at(held_bytes, now_us);

	claim_plan(&claim, &facts);
}

/* Tasks of the kind take so long, as measured. */
static void
learn(const char *kind, double mean_us)
{
	share_list_get(&kinds, kind)->mean_us = mean_us;
}

/* The tasks of a kind hold so many slots of a queue. */
static void
run(const char *name, const char *kind, int count)
{
	struct share *queue = share_list_get_queue(&queues, name);
	struct share_set set = {.queue = queue,
	    .kind = share_list_get(&kinds, kind),
	    .longer = queue->longer};

	for (int i = 0; i < count; i++) {
		share_set_claimed(&set);
		share_set_started(&set, (struct mono){.us = 1});
	}
}

START_TEST(each_route_gets_the_least_room_of_its_shares)
{
	plan(0, 1);
	ck_assert_str_eq(text_string(&claim.routes), "{-1,1,2,-1,3,4}");
	ck_assert_str_eq(text_string(&claim.wants), "{10,10,3,4,4,3}");
	ck_assert_int_eq(claim.max, 14);
	ck_assert_int_eq(claim.eager, 14);
}
END_TEST

START_TEST(what_is_full_or_unknown_is_not_asked_for)
{
	run("b", "x", 4);
	route_find(&routes, 2)->binding = NULL;
	plan(0, 1);
	ck_assert_str_eq(text_string(&claim.routes), "{1}");
	ck_assert_int_eq(claim.max, 10);
}
END_TEST

START_TEST(floors_of_the_routes_asked_for_go_along)
{
	floors_set(&floors, &(struct floor){.route = 1, .lane = 8, .seq = 70});
	floors_set(&floors,
	    &(struct floor){.route = 3, .rank = -2, .lane = 8, .seq = 9});
	floors_set(&floors, &(struct floor){.route = 9, .lane = 8, .seq = 1});
	plan(0, 1);
	ck_assert_str_eq(text_string(&claim.floor_routes), "{1,3}");
	ck_assert_str_eq(text_string(&claim.floor_ranks), "{0,-2}");
	ck_assert_str_eq(text_string(&claim.floor_lanes), "{8,8}");
	ck_assert_str_eq(text_string(&claim.floor_seqs), "{70,9}");
}
END_TEST

START_TEST(bytes_bound_what_is_claimed)
{
	plan(0, 1);
	ck_assert_int_eq(claim.max_bytes, CLAIM_BYTES);
	plan(CLAIM_HELD - CLAIM_LEAST, 1);
	ck_assert_int_eq(claim.max_bytes, CLAIM_LEAST);
	ck_assert_int_gt(claim.max, 0);
	plan(CLAIM_HELD - CLAIM_LEAST + 1, 1);
	ck_assert_int_eq(claim.max, 0);
	ck_assert_str_eq(text_string(&claim.routes), "{}");
}
END_TEST

/* The turn brought so many of route 1. */
static void
bring(int got, int total, bool cut)
{
	route_find(&routes, 1)->got = got;
	claim_learn(&claim, &routes, total, cut);
	plan(0, 1);
}

START_TEST(a_route_that_gave_all_may_have_more)
{
	plan(0, 1);
	bring(10, 10, false);
	ck_assert_int_eq(claim.eager, 10);
	bring(4, 4, false);
	ck_assert_int_eq(claim.eager, 0);
	ck_assert_int_eq(claim.max, 14);
}
END_TEST

START_TEST(a_turn_that_was_cut_short_says_nothing)
{
	plan(0, 1);
	bring(4, 4, true);
	ck_assert_int_eq(claim.eager, 14);
	bring(4, 14, false);
	ck_assert_int_eq(claim.eager, 14);
}
END_TEST

START_TEST(a_route_whose_tasks_got_stuck_claims_nothing_ahead)
{
	struct route *route = route_find(&routes, 1);

	learn("x", 200);
	claim_pause(route, (struct mono){.us = 1000});
	plan(0, 2000);
	ck_assert_str_eq(text_string(&claim.wants), "{10,10,3,244,244,3}");
	plan(0, 1000 + CLAIM_PAUSE_MS * 1000);
	ck_assert_str_eq(text_string(&claim.wants), "{610,610,3,244,244,3}");
	run("a", "x", 8);
	plan(0, 2000);
	ck_assert_str_eq(text_string(&claim.wants), "{2,2,2,244,244,3}");
	run("a", "x", 2);
	plan(0, 2000);
	ck_assert_str_eq(text_string(&claim.routes), "{-1,3,4}");
}
END_TEST

START_TEST(the_pause_of_a_route_grows_until_a_task_starts_soon)
{
	struct route *route = route_find(&routes, 1);

	for (int i = 0; i < 20; i++)
		claim_pause(route, (struct mono){.us = 1000});
	ck_assert_int_eq(route->pause_ms, CLAIM_PAUSE_MAX_MS);
	claim_resume(route);
	claim_pause(route, (struct mono){.us = 1000});
	ck_assert_int_eq(route->pause_ms, CLAIM_PAUSE_MS);
}
END_TEST

START_TEST(longer_tasks_share_the_slots_whatever_brief_ones_get)
{
	learn("x", 200);
	plan(0, 1);
	ck_assert_str_eq(text_string(&claim.routes), "{-1,1,2,-1,3,4}");
	ck_assert_str_eq(text_string(&claim.wants), "{610,610,3,244,244,3}");
	learn("y", 400000);
	share_list_get(&kinds, "y")->limit = SHARE_NO_LIMIT;
	learn("x", 500000);
	run("a", "y", 4);
	plan(0, 200000);
	ck_assert_str_eq(text_string(&claim.wants), "{6,6,6,4,4,4}");
	ck_assert_int_eq(claim.max, 10);
}
END_TEST

START_TEST(brief_tasks_do_not_count_on_slots_that_longer_ones_will_have)
{
	learn("x", 200);
	learn("y", 400000);
	share_list_get(&queues, "a")->longer->mean_us = 400000;
	share_list_get(&kinds, "y")->limit = SHARE_NO_LIMIT;
	run("a", "y", 8);
	plan(0, 200000);
	ck_assert_str_eq(text_string(&claim.routes), "{-1,1,2,-1,3,4}");
	ck_assert_str_eq(text_string(&claim.wants), "{122,122,2,244,244,4}");
	route_find(&routes, 2)->gave = true;
	plan(0, 200000);
	ck_assert_str_eq(text_string(&claim.wants), "{2,2,2,244,244,4}");
}
END_TEST

/* The turn itself unlocks some, or others have enqueued more. */
START_TEST(brief_tasks_are_claimed_ahead_of_lines_that_were_emptied)
{
	struct share *x = share_list_get(&kinds, "x");
	struct share *y = share_list_get(&kinds, "y");
	struct share_set set = {
	    .queue = share_list_get_queue(&queues, "a"), .kind = x};

	x->mean_us = x->usual_us = 6000;
	y->mean_us = y->usual_us = 8000;
	y->limit = SHARE_NO_LIMIT;
	for (int i = 0; i < 10; i++) {
		share_set_claimed(&set);
		share_set_started(&set, (struct mono){.us = 1});
	}
	route_find(&routes, 1)->drained = true;
	route_find(&routes, 2)->drained = true;
	plan(0, 1);
	ck_assert_int_eq(route_find(&routes, 1)->want, 20);
	ck_assert_int_eq(route_find(&routes, 2)->want, 15);
	ck_assert_int_eq(route_find(&routes, 1)->bound->room, 15);
	route_find(&routes, 1)->drained = false; /* only that gives some */
	route_find(&routes, 1)->gave = true;
	plan(0, 1);
	ck_assert_int_eq(route_find(&routes, 1)->bound->room, 20);
}
END_TEST

START_TEST(a_route_is_not_empty_because_others_took_its_room)
{
	plan(0, 1);
	route_find(&routes, 2)->got = 10;
	claim_learn(&claim, &routes, 10, false);
	ck_assert(!route_find(&routes, 1)->drained);
	ck_assert(route_find(&routes, 3)->drained);
}
END_TEST

/* What a turn unlocks wakes the others, not the worker itself. */
START_TEST(a_route_that_had_no_room_is_looked_at_once_it_has_some)
{
	struct share *kind = share_list_get(&kinds, "x");
	struct route *route = route_find(&routes, 1);
	int limit = kind->limit;

	route->drained = true;
	kind->limit = 0;
	plan(0, 1);
	ck_assert_int_eq(route->want, 0);
	claim_learn(&claim, &routes, 0, false);
	kind->limit = limit;
	for (int i = 0; i < routes.count; i++)
		if (routes.items[i] != route)
			routes.items[i]->drained = true;
	plan(0, 1);
	ck_assert_int_gt(claim.eager, 0);
}
END_TEST

START_TEST(a_route_that_had_none_is_passed_over_by_a_full_turn)
{
	struct route *none = route_find(&routes, 1),
		     *unknown = route_find(&routes, 2);

	none->drained = true;
	plan(0, 1);
	route_find(&routes, 3)->got = claim.max;
	claim_learn(&claim, &routes, claim.max, false);
	ck_assert(none->passed && !none->drained);
	ck_assert(!unknown->passed && !unknown->drained);
	plan(0, 1);
	ck_assert_int_gt(claim.eager, 0); /* the next one looks there */
	claim_learn(&claim, &routes, 0, true);
	ck_assert(!none->passed && !none->drained);
}
END_TEST

/* So many tasks wait for a slot of a route. */
static void
park(int id, int count)
{
	struct route *route = route_find(&routes, id);

	route->waiting += count;
	for (int i = 0; i < count; i++)
		share_set_claimed(&route->shares);
}

static int
wait_ms(void)
{
	struct claim_facts facts = facts_at(0, 1);

	return claim_wait_ms(&facts);
}

/* There is the end of a flow's task among what is to be told. */
static int
flow_wait_ms(void)
{
	struct claim_facts facts = facts_at(0, 1);

	facts.ended_flow = true;
	return claim_wait_ms(&facts);
}

static bool
can_wait(void)
{
	return wait_ms() > 0;
}

START_TEST(a_claim_can_wait_while_all_slots_are_taken_and_more_waits)
{
	share_list_get(&queues, "a")->usual_us = 10000;
	run("a", "x", 10);
	route_find(&routes, 3)->drained = true;
	route_find(&routes, 4)->drained = true;
	ck_assert(!can_wait()); /* what ends leaves a slot to nobody */
	park(1, 1);
	ck_assert(!can_wait()); /* soon */
	park(1, 1);
	ck_assert(can_wait());
	route_find(&routes, 4)->drained = false; /* its slots may get some */
	ck_assert(!can_wait());
	route_find(&routes, 4)->passed = true;
	ck_assert(can_wait());
	route_find(&routes, 4)->passed = false;
	route_find(&routes, 4)->binding = NULL;
	ck_assert(can_wait());
}
END_TEST

START_TEST(the_slots_of_a_kind_can_be_what_is_taken)
{
	share_list_get(&kinds, "y")->usual_us = 10000;
	run("a", "y", 3);
	park(2, 1);
	route_find(&routes, 1)->drained = true;
	route_find(&routes, 3)->drained = true;
	ck_assert(can_wait());
	route_find(&routes, 1)->drained = false;
	ck_assert(!can_wait());
}
END_TEST

START_TEST(a_claim_waits_longer_where_all_that_waits_is_quick)
{
	struct share *kind = share_list_get(&kinds, "x");

	share_list_get(&queues, "a")->usual_us = 1000;
	run("a", "x", 10);
	route_find(&routes, 3)->drained = true;
	route_find(&routes, 4)->drained = true;
	park(1, 20);
	kind->usual_us = PACE_QUICK_MS * 1000;
	ck_assert_int_eq(wait_ms(), PACE_SUPPLIED_QUICK_MS);
	park(2, 20); /* of a kind that was never seen */
	ck_assert_int_eq(wait_ms(), PACE_SUPPLIED_MS);
	kind->usual_us = PACE_QUICK_MS * 1000 + 1;
	ck_assert_int_eq(wait_ms(), PACE_SUPPLIED_MS);
}
END_TEST

START_TEST(b2_others_of_a_flow_do_not_wait_for_the_company_of_quick_tasks)
{
	share_list_get(&kinds, "x")->usual_us = PACE_QUICK_MS * 1000;
	share_list_get(&queues, "a")->usual_us = 1000;
	run("a", "x", 10);
	route_find(&routes, 3)->drained = true;
	route_find(&routes, 4)->drained = true;
	ck_assert_int_eq(flow_wait_ms(), 0); /* its slot would be idle */
	park(1, 20);
	ck_assert_int_eq(wait_ms(), PACE_SUPPLIED_QUICK_MS);
	ck_assert_int_eq(flow_wait_ms(), PACE_FLOW_MS);
}
END_TEST

/* 32 a ms while turns take 10 ms: beside what starts during two of them a turn
 * still brings 800. */
START_TEST(the_quickest_are_claimed_as_far_as_the_horizon_too)
{
	struct share share = {.limit = 32,
	    .running = 32,
	    .began_sum = 32,
	    .mean_us = 1000,
	    .usual_us = 1000};

	ck_assert_int_eq(
	    share_ahead(&share, &share, 0, 10000, (struct mono){.us = 1000}),
	    1440);
}
END_TEST

START_TEST(nothing_that_waits_is_no_reason_to_wait)
{
	for (int i = 0; i < routes.count; i++)
		routes.items[i]->drained = true;
	ck_assert(!can_wait());
}
END_TEST

START_TEST(nothing_is_nothing)
{
	plan(0, 1);
	claim_nothing(&claim, &routes);
	ck_assert_str_eq(text_string(&claim.wants), "{}");
	ck_assert_int_eq(claim.max, 0);
	ck_assert_int_eq(claim.eager, 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("worker_claim");
	TCase *tests = unit_case(suite, "claim");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, each_route_gets_the_least_room_of_its_shares);
	tcase_add_test(tests, what_is_full_or_unknown_is_not_asked_for);
	tcase_add_test(tests, floors_of_the_routes_asked_for_go_along);
	tcase_add_test(tests, bytes_bound_what_is_claimed);
	tcase_add_test(tests, a_route_that_gave_all_may_have_more);
	tcase_add_test(tests, a_turn_that_was_cut_short_says_nothing);
	tcase_add_test(
	    tests, a_route_whose_tasks_got_stuck_claims_nothing_ahead);
	tcase_add_test(
	    tests, the_pause_of_a_route_grows_until_a_task_starts_soon);
	tcase_add_test(
	    tests, longer_tasks_share_the_slots_whatever_brief_ones_get);
	tcase_add_test(tests,
	    brief_tasks_do_not_count_on_slots_that_longer_ones_will_have);
	tcase_add_test(
	    tests, brief_tasks_are_claimed_ahead_of_lines_that_were_emptied);
	tcase_add_test(
	    tests, a_route_is_not_empty_because_others_took_its_room);
	tcase_add_test(
	    tests, a_route_that_had_no_room_is_looked_at_once_it_has_some);
	tcase_add_test(
	    tests, a_route_that_had_none_is_passed_over_by_a_full_turn);
	tcase_add_test(tests, nothing_is_nothing);
	tests = unit_case(suite, "can wait");
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(
	    tests, a_claim_waits_longer_where_all_that_waits_is_quick);
	tcase_add_test(tests,
	    b2_others_of_a_flow_do_not_wait_for_the_company_of_quick_tasks);
	tcase_add_test(
	    tests, the_quickest_are_claimed_as_far_as_the_horizon_too);
	tcase_add_test(
	    tests, a_claim_can_wait_while_all_slots_are_taken_and_more_waits);
	tcase_add_test(tests, the_slots_of_a_kind_can_be_what_is_taken);
	tcase_add_test(tests, nothing_that_waits_is_no_reason_to_wait);
	return unit_run(suite);
}
