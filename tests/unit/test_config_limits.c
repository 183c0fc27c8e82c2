/* Limits of queues and kinds across hosts. */
#include "common/config.h"
#include "tests/unit/config_fixture.h"
#include "tests/unit/unit.h"

START_TEST(a3_limits)
{
	const struct queue_config *queue;
	const struct handler_config *handler;

	fixture_load("database: dbname=x\nqueues:\n"
		     "  a: {max_running: 4, rate: {rate: 90/m, burst: 7}}\n"
		     "handlers:\n  h: {noop: true, rate: 2/s}\n");
	queue = config_queue(fixture_config, "a");
	ck_assert_int_eq(queue->max_running, 4);
	ck_assert_double_eq_tol(queue->rate.per_s, 1.5, 1e-9);
	ck_assert_int_eq(queue->rate.burst, 7);
	handler = config_handler(fixture_config, "h");
	ck_assert_int_eq(handler->max_running, 0);
	ck_assert_double_eq_tol(handler->rate.per_s, 2, 1e-9);
}
END_TEST

static const struct {
	const char *text, *errors;
} refusals[] = {
    {"queues: {a: {rate: 10}}\n",
	AT("2:20") "rate: '10' is not a rate such as 10/s or 100/m\n"},
    {"queues: {a: {rate: 10/w}}\n",
	AT("2:20") "rate: '10/w' is not a rate such as 10/s or 100/m\n"},
    {"queues: {a: {rate: 0/s}}\n",
	AT("2:20") "rate: 0/s is out of range, 1/d to 1000000/s\n"},
    {"queues: {a: {rate: {rate: 1/h, burst: 0}}}\n",
	AT("2:39") "burst: 0 is out of range, 1 to 1000000\n"},
    {"queues: {a: {rate: {burst: 5}}}\n",
	AT("2:14") "rate: burst without a rate\n"},
    {"queues: {a: {max_running: 0}}\n",
	AT("2:27") "max_running: 0 is out of range, 1 to 1000000\n"},
};

START_TEST(a3_what_is_wrong_is_refused)
{
	struct text whole = TEXT_EMPTY;

	text_addf(&whole, "database: dbname=x\n%s", refusals[_i].text);
	fixture_refuse(text_string(&whole), refusals[_i].errors);
	text_free(&whole);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("config limits");
	TCase *tests = unit_case(suite, "limits");

	tcase_add_checked_fixture(tests, fixture_setup, fixture_teardown);
	tcase_add_test(tests, a3_limits);
	tcase_add_loop_test(tests, a3_what_is_wrong_is_refused, 0,
	    (int)(sizeof(refusals) / sizeof(refusals[0])));
	return unit_run(suite);
}
