#include "common/config.h"
#include "tests/unit/config_fixture.h"
#include "tests/unit/unit.h"

START_TEST(c2_schedules)
{
	const struct schedule_config *first, *second;

	fixture_load("database: dbname=x\nschedules:\n"
		     "  prices: {every: 90s, kind: scan, payload: {a: [1, b, "
		     "null], c: \"2\"}, priority: -7}\n"
		     "  nightly: {cron: 0 3 * * mon-fri, kind: rollup, "
		     "timezone: Europe/Berlin, missed: run_all, overlap: "
		     "allow, jitter: 1m, timeout: 2s, max_attempts: 3, queue: "
		     "slow}\n");
	ck_assert_uint_eq(fixture_config->schedule_count, 2);
	first = &fixture_config->schedules[0];
	second = &fixture_config->schedules[1];
	ck_assert_str_eq(first->name, "nightly");
	ck_assert_str_eq(first->cron, "0 3 * * mon-fri");
	ck_assert_str_eq(first->timezone, "Europe/Berlin");
	ck_assert_str_eq(first->queue, "slow");
	ck_assert_int_lt(first->every_ms, 0);
	ck_assert_int_eq(first->timeout_ms, 2000);
	ck_assert_int_eq(first->max_attempts, 3);
	ck_assert_int_eq(first->jitter_ms, 60000);
	ck_assert_str_eq(config_missed_words[first->missed], "run_all");
	ck_assert_str_eq(config_overlap_words[first->overlap], "allow");
	ck_assert_ptr_null(first->payload);
	ck_assert_ptr_null(second->cron);
	ck_assert_int_eq(second->every_ms, 90000);
	ck_assert_int_eq(second->priority, -7);
	ck_assert_int_lt(second->timeout_ms, 0);
	ck_assert_str_eq(second->payload, "{\"a\":[1,\"b\",null],\"c\":\"2\"}");
	ck_assert_str_eq(second->timezone, "UTC");
	ck_assert_str_eq(config_missed_words[second->missed], "run_once");
	ck_assert_str_eq(config_overlap_words[second->overlap], "skip");
}
END_TEST

static const struct {
	const char *text, *errors;
} refusals[] = {
    {"schedules: {a: {}}\n",
	AT("2:13") "schedule 'a' needs a kind\n" AT(
	    "2:13") "schedule 'a' needs either every or cron\n"},
    {"schedules: {a: {kind: x, every: 1s, cron: '* * * * *'}}\n",
	AT("2:13") "schedule 'a' needs either every or cron\n"},
    {"schedules: {a: {kind: x, every: 1ms}}\n",
	AT("2:33") "every: 1ms is out of range, 1s to 365d\n"},
    {"schedules: {a: {kind: x, cron: '0 25 * * *'}}\n",
	AT("2:32") "cron: hour: 25 is out of range, 0 to 23\n"},
    {"schedules: {a: {kind: x, every: 1h, timezone: Mars/Olympus}}\n",
	AT("2:47") "timezone: 'Mars/Olympus' is not the name of a time zone "
		   "such as Europe/Berlin\n"},
    {"schedules: {a: {kind: x, every: 1h, timezone: ../passwd}}\n",
	AT("2:47") "timezone: '../passwd' is not the name of a time zone "
		   "such as Europe/Berlin\n"},
    {"schedules: {a: {kind: x, every: 1h, missed: run}}\n",
	AT("2:45") "missed: 'run' is not one of skip, run_once, run_all\n"},
    {"schedules: {a: {kind: x, every: 1h, overlap: no}}\n",
	AT("2:46") "overlap: 'no' is not one of skip, queue, allow\n"},
    {"schedules: {a: {kind: x, every: 1h, payload: }}\n",
	AT("2:37") "payload: has no value\n"},
};

START_TEST(c2_what_is_wrong_is_refused)
{
	struct text whole = TEXT_EMPTY;

	text_addf(&whole, "database: dbname=x\n%s", refusals[_i].text);
	fixture_refuse(text_string(&whole), refusals[_i].errors);
	text_free(&whole);
}
END_TEST

/* Files that come later change members, and replace payloads whole. */
START_TEST(c2_schedules_merge)
{
	fixture_write("conf.d/10.yaml", "schedules:\n"
					"  a: {priority: 3, payload: {y: 2}}\n"
					"  b: {kind: k, cron: '@daily'}\n");
	fixture_load("database: dbname=x\nschedules:\n"
		     "  a: {every: 1h, kind: k, payload: {x: 1}}\n");
	ck_assert_uint_eq(fixture_config->schedule_count, 2);
	ck_assert_int_eq(fixture_config->schedules[0].every_ms, 3600000);
	ck_assert_int_eq(fixture_config->schedules[0].priority, 3);
	ck_assert_str_eq(fixture_config->schedules[0].payload, "{\"y\":2}");
	ck_assert_str_eq(fixture_config->schedules[1].cron, "@daily");
}
END_TEST

START_TEST(c2_a_caret_points_at_the_expression)
{
	fixture_write("musterd.yaml", "database: dbname=x\nschedules:\n"
				      "  a:\n    kind: x\n"
				      "    cron: '0 25 * * *'\n");
	ck_assert_ptr_null(config_load(fixture_file, &fixture_errors));
	ck_assert_str_eq(
	    fixture_errors.carets[0], "    cron: '0 25 * * *'\n          ^");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("config schedules");
	TCase *tests = unit_case(suite, "schedules");

	tcase_add_checked_fixture(tests, fixture_setup, fixture_teardown);
	tcase_add_test(tests, c2_schedules);
	tcase_add_test(tests, c2_schedules_merge);
	tcase_add_test(tests, c2_a_caret_points_at_the_expression);
	tcase_add_loop_test(tests, c2_what_is_wrong_is_refused, 0,
	    (int)(sizeof(refusals) / sizeof(refusals[0])));
	return unit_run(suite);
}
