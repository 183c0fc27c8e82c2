#include "daemon/worker/batch.h"

#include <string.h>

#include "tests/unit/unit.h"

static struct running all[BATCH_MAX];

static void
add_of(struct batch *batch, int64_t lease, int64_t id, struct finish finish)
{
	struct running *running = &all[batch->count];

	*running = (struct running){.finish = finish};
	running->task.id = id;
	running->task.lease = lease;
	batch_add(batch, running);
}

static void
add(struct batch *batch, int64_t id, struct finish finish)
{
	add_of(batch, 5, id, finish);
}

START_TEST(b2_plain_successes_travel_as_ids_alone)
{
	struct batch batch = {0};

	batch_start(&batch);
	add(&batch, 1, (struct finish){.outcome = 's'});
	add(&batch, 2, (struct finish){.outcome = 's'});
	batch_end(&batch);
	ck_assert_str_eq(text_string(&batch.lease), "{5,5}");
	ck_assert_str_eq(text_string(&batch.task), "{1,2}");
	ck_assert_str_eq(text_string(&batch.outcome), "ss");
	ck_assert_str_eq(text_string(&batch.ran.text), "{}");
	ck_assert_str_eq(text_string(&batch.delay.text), "{}");
	ck_assert_str_eq(text_string(&batch.result.text), "{}");
	ck_assert_str_eq(text_string(&batch.error.text), "{}");
	batch_free(&batch);
}
END_TEST

START_TEST(b2_what_is_rare_keeps_its_place_in_the_array)
{
	struct batch batch = {0};
	char result[] = "{\"a\":\"b\\\\\"}", error[] = "say \"no\"";

	batch_start(&batch);
	add(&batch, 1, (struct finish){.outcome = 's'});
	add(&batch, 2,
	    (struct finish){.outcome = 's',
		.ran_ms = 12,
		.result = result,
		.result_size = strlen(result)});
	add(&batch, 3, (struct finish){.outcome = 's'});
	add(&batch, 4,
	    (struct finish){.outcome = 'r',
		.delay_ms = 1000,
		.error = error,
		.error_size = strlen(error)});
	batch_end(&batch);
	ck_assert_str_eq(text_string(&batch.outcome), "sssr");
	ck_assert_str_eq(text_string(&batch.ran.text), "{0,12,0,0}");
	ck_assert_str_eq(text_string(&batch.delay.text), "{0,0,0,1000}");
	ck_assert_str_eq(text_string(&batch.result.text),
	    "{NULL,\"{\\\"a\\\":\\\"b\\\\\\\\\\\"}\",NULL,NULL}");
	ck_assert_str_eq(text_string(&batch.error.text),
	    "{NULL,NULL,NULL,\"say \\\"no\\\"\"}");
	batch_free(&batch);
}
END_TEST

START_TEST(finishes_are_told_in_the_order_of_leases_and_tasks)
{
	struct batch batch = {0};

	batch_start(&batch);
	add_of(&batch, 8, 30, (struct finish){.outcome = 'c'});
	add_of(&batch, 7, 50, (struct finish){.outcome = 'b'});
	add_of(&batch, 8, 20, (struct finish){.outcome = 's', .ran_ms = 9});
	add_of(&batch, 7, 40, (struct finish){.outcome = 's'});
	batch_end(&batch);
	ck_assert_str_eq(text_string(&batch.lease), "{7,7,8,8}");
	ck_assert_str_eq(text_string(&batch.task), "{40,50,20,30}");
	ck_assert_str_eq(text_string(&batch.outcome), "sbsc");
	ck_assert_str_eq(text_string(&batch.ran.text), "{0,0,9,0}");
	batch_free(&batch);
}
END_TEST

START_TEST(a_batch_is_bounded_in_tasks_and_bytes)
{
	struct batch batch = {0};
	size_t size = BATCH_BYTES;
	char *result = calloc(1, size);

	memset(result, ' ', size);
	batch_start(&batch);
	for (int i = 0; i < BATCH_MAX; i++) {
		ck_assert(!batch_is_full(&batch));
		add(&batch, i, (struct finish){.outcome = 's'});
	}
	ck_assert(batch_is_full(&batch));
	batch_start(&batch);
	ck_assert(!batch_is_full(&batch));
	add(&batch, 1,
	    (struct finish){
		.outcome = 's', .result = result, .result_size = size});
	ck_assert(batch_is_full(&batch));
	batch_start(&batch);
	batch_end(&batch);
	ck_assert_str_eq(text_string(&batch.result.text), "{}");
	ck_assert_uint_le(batch.result.text.capacity, BATCH_KEEP);
	batch_free(&batch);
	free(result);
}
END_TEST

/*
 * Sends `total` finishes of which the marked ones are refused, as a worker
 * would. Returns the number of turns; each guilty one is found alone.
 */
static int
send_all(const bool *guilty, int total, int *ret_found)
{
	struct bisect bisect = {0};
	int at = 0, turns = 0;

	*ret_found = 0;
	while (at < total) {
		int count = total - at, bad = 0;

		if (bisect.limit != 0 && count > (int)bisect.limit)
			count = (int)bisect.limit;
		for (int i = at; i < at + count; i++)
			bad += guilty[i];
		turns++;
		if (bad == 0) {
			at += count;
			bisect_taken(&bisect, (size_t)count);
		} else if (bisect_refused(&bisect, (size_t)count)) {
			ck_assert_int_eq(bad, 1);
			++*ret_found;
			at++;
		}
	}
	return turns;
}

START_TEST(g1_bisection_finds_each_guilty_one_in_few_turns)
{
	enum { TOTAL = 300 };
	int found;

	for (int bad = 0; bad < TOTAL; bad++) {
		bool guilty[TOTAL] = {0};

		guilty[bad] = true;
		ck_assert_int_le(send_all(guilty, TOTAL, &found), 40);
		ck_assert_int_eq(found, 1);
	}
}
END_TEST

START_TEST(g1_bisection_ends_even_when_all_are_guilty)
{
	enum { TOTAL = 300 };
	bool guilty[TOTAL];
	int found;

	memset(guilty, 1, sizeof(guilty));
	ck_assert_int_le(send_all(guilty, TOTAL, &found), 320);
	ck_assert_int_eq(found, TOTAL);
}
END_TEST

START_TEST(bisection_ends_when_nothing_is_left_to_search)
{
	struct bisect bisect = {0};

	bisect_taken(&bisect, 300);
	ck_assert(!bisect_is_searching(&bisect));
	ck_assert(!bisect_refused(&bisect, 10));
	ck_assert_uint_eq(bisect.limit, 5);
	bisect_taken(&bisect, 5);
	ck_assert(bisect_is_searching(&bisect));
	bisect_taken(&bisect, 4);
	ck_assert(!bisect_is_searching(&bisect));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("worker_batch");
	TCase *tests = unit_case(suite, "parameters");

	tcase_add_test(tests, b2_plain_successes_travel_as_ids_alone);
	tcase_add_test(tests, b2_what_is_rare_keeps_its_place_in_the_array);
	tcase_add_test(
	    tests, finishes_are_told_in_the_order_of_leases_and_tasks);
	tcase_add_test(tests, a_batch_is_bounded_in_tasks_and_bytes);
	tests = unit_case(suite, "bisection");
	tcase_add_test(tests, g1_bisection_finds_each_guilty_one_in_few_turns);
	tcase_add_test(tests, g1_bisection_ends_even_when_all_are_guilty);
	tcase_add_test(tests, bisection_ends_when_nothing_is_left_to_search);
	return unit_run(suite);
}
