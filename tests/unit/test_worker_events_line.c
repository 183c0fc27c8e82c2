/* Lines that programs of tasks write into the worker's FIFO. */
#include "daemon/worker/events_line.h"

#include <string.h>

#include "tests/unit/unit.h"

static struct events_line line;
static bool whole;

static bool
reads(const char *bytes)
{
	return events_line_read(bytes, strlen(bytes), &line, &whole);
}

START_TEST(D4_progress)
{
	ck_assert(reads("{\"progress\":{\"id\":\"42\",\"token\":\"9-42\","
			"\"fraction\":0.4,\"note\":\"page \\u0032\"}}"));
	ck_assert(whole);
	ck_assert_int_eq(line.kind, EVENTS_PROGRESS);
	ck_assert_int_eq(line.task, 42);
	ck_assert_int_eq(line.lease, 9);
	ck_assert_double_eq(line.fraction, 0.4);
	ck_assert_str_eq(text_string(&line.note), "page 2");
	events_line_free(&line);
	ck_assert(reads(" { \"progress\" : { \"fraction\" : 1, \"token\" :"
			" \"1-2\" , \"id\":\"2\", \"more\": [] } } "));
	ck_assert_str_eq(text_string(&line.note), "");
	events_line_free(&line);
}
END_TEST

START_TEST(D4_chunk)
{
	ck_assert(reads("{\"chunk\":{\"id\":\"42\",\"token\":\"9-42\","
			"\"data\": {\"n\": 0.10} }}"));
	ck_assert(whole);
	ck_assert_int_eq(line.kind, EVENTS_CHUNK);
	ck_assert_uint_eq(line.data.length, strlen("{\"n\": 0.10}"));
	ck_assert_int_eq(memcmp(line.data.at, "{\"n\": 0.10}", 11), 0);
	events_line_free(&line);
}
END_TEST

#define CHUNK(id, token)                                                       \
	"{\"chunk\":{\"id\":" id ",\"token\":" token ",\"data\":1}}"

static const char *const refused[] = {"", "hello", "{}", "null", "{\"chunk\"",
    "{\"progress\":{}}", "{\"chunk\":[]}", CHUNK("42", "\"9-42\""),
    CHUNK("\"42\"", "9"), CHUNK("\"42\"", "\"9-43\""),
    CHUNK("\"42\"", "\"9-42x\""), CHUNK("\"42x\"", "\"9-42x\""),
    CHUNK("\"0\"", "\"9-0\""), CHUNK("\"-1\"", "\"9--1\""),
    CHUNK("\"42\"", "\"-42\""), CHUNK("\"42\"", "\"42\""),
    CHUNK("\" 42\"", "\"9- 42\""), CHUNK("\"042\"", "\"9-042\""),
    CHUNK("\"99999999999999999999\"", "\"9-99999999999999999999\""),
    "{\"chunk\":{\"id\":\"42\",\"token\":\"9-42\"}}",
    "{\"progress\":{\"id\":\"42\",\"token\":\"9-42\"}}",
    "{\"progress\":{\"id\":\"42\",\"token\":\"9-42\",\"fraction\":\"1\"}}",
    ("{\"progress\":{\"id\":\"42\",\"token\":\"9-42\",\"fraction\":1,"
     "\"note\":7}}")};

START_TEST(anything_else_is_refused)
{
	ck_assert_msg(!reads(refused[_i]), "%s", refused[_i]);
}
END_TEST

/* Somebody was killed in the middle of a line, and another one wrote his. */
START_TEST(a_line_that_was_never_ended_does_not_take_the_next_with_it)
{
	static const char good[] = CHUNK("\"42\"", "\"9-42\"");
	char both[2 * sizeof(good)];

	for (size_t cut = 1; cut < sizeof(good) - 1; cut++) {
		memcpy(both, good, cut);
		memcpy(both + cut, good, sizeof(good));
		ck_assert_msg(reads(both), "%s", both);
		ck_assert(!whole);
		ck_assert_int_eq(line.task, 42);
	}
}
END_TEST

START_TEST(a_line_may_be_as_long_as_is_written_in_one_piece)
{
	char longest[EVENTS_LINE_MAX + 1];
	const char *begin = "{\"chunk\":{\"id\":\"4\",\"token\":\"9-4\","
			    "\"data\":\"";
	size_t size = strlen(begin);

	memset(longest, 'x', sizeof(longest));
	memcpy(longest, begin, size);
	memcpy(longest + EVENTS_LINE_MAX - 1 - 3, "\"}}", 3);
	ck_assert(
	    events_line_read(longest, EVENTS_LINE_MAX - 1, &line, &whole));
	memset(longest + size, 'x', sizeof(longest) - size);
	memcpy(longest + EVENTS_LINE_MAX - 3, "\"}}", 3);
	ck_assert(!events_line_read(longest, EVENTS_LINE_MAX, &line, &whole));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("worker_events_line");
	TCase *tests = unit_case(suite, "lines");

	tcase_add_test(tests, D4_progress);
	tcase_add_test(tests, D4_chunk);
	tcase_add_loop_test(tests, anything_else_is_refused, 0,
	    (int)(sizeof(refused) / sizeof(refused[0])));
	tcase_add_test(
	    tests, a_line_that_was_never_ended_does_not_take_the_next_with_it);
	tcase_add_test(tests, a_line_may_be_as_long_as_is_written_in_one_piece);
	return unit_run(suite);
}
