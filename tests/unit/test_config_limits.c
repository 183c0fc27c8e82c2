/* Limits across hosts: max_running and rate of queues and kinds. */
#include <string.h>

#include "tests/unit/config_fixture.h"
#include "tests/unit/unit.h"

static const struct {
	const char *text, *wanted;
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
    {"handlers: {a: {noop: true, rate: fast}}\n",
	AT("2:34") "rate: 'fast' is not a rate such as 10/s or 100/m\n"},
};

START_TEST(a3_wrong_limits_are_refused)
{
	struct text text = TEXT_EMPTY;

	text_addf(&text, "database: dbname=x\n%s", refusals[_i].text);
	fixture_refuse(text_string(&text), refusals[_i].wanted);
	text_free(&text);
}
END_TEST

static void
check_rate(const struct rate_config *rate, double per_s, int burst)
{
	ck_assert_double_eq_tol(rate->per_s, per_s, 1e-9);
	ck_assert_int_eq(rate->burst, burst);
}

START_TEST(a3_limits_are_read)
{
	fixture_load("database: dbname=x\n"
		     "queues: {a: {max_running: 4, rate: 10/s},\n"
		     "  b: {rate: {rate: 100/m, burst: 50}}, c: {}}\n"
		     "handlers: {k: {noop: true, rate: 1/d, max_running: 1}}");
	const struct queue_config *a = config_queue(fixture_config, "a");
	const struct queue_config *c = config_queue(fixture_config, "c");
	const struct handler_config *k = config_handler(fixture_config, "k");

	ck_assert_int_eq(a->max_running, 4);
	check_rate(&a->rate, 10, 10);
	check_rate(&config_queue(fixture_config, "b")->rate, 100 / 60.0, 50);
	ck_assert_int_eq(c->max_running, 0);
	check_rate(&c->rate, 0, 0);
	ck_assert_int_eq(k->max_running, 1);
	check_rate(&k->rate, 1 / 86400.0, 1);
}
END_TEST

/* What -T prints reads the same. */
START_TEST(a3_rates_are_printed_as_they_were_written)
{
	static const char *const rates[] = {
	    "10/s", "7/m", "100/m", "5/h", "999/h", "1/d", "1000000/s"};

	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct text text = TEXT_EMPTY, printed = TEXT_EMPTY;
		struct text wanted = TEXT_EMPTY;

		text_addf(&text,
		    "database: dbname=x\nqueues: {default: {rate: %s}}\n",
		    rates[i]);
		fixture_load(text_string(&text));
		config_print(fixture_config, &printed);
		text_addf(&wanted, "rate: %s\n", rates[i]);
		ck_assert_ptr_nonnull(
		    strstr(text_string(&printed), text_string(&wanted)));
		fixture_config = config_free(fixture_config);
		text_free(&text);
		text_free(&wanted);
		text_free(&printed);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("config_limits");
	TCase *tests = unit_case(suite, "limits");

	tcase_add_checked_fixture(tests, fixture_setup, fixture_teardown);
	tcase_add_loop_test(tests, a3_wrong_limits_are_refused, 0,
	    sizeof(refusals) / sizeof(refusals[0]));
	tcase_add_test(tests, a3_limits_are_read);
	tcase_add_test(tests, a3_rates_are_printed_as_they_were_written);
	return unit_run(suite);
}
