#include "daemon/handlers/pool_message.h"

#include <string.h>

#include "tests/unit/unit.h"

static struct pool_message
read_well(const char *line)
{
	struct pool_message message;
	const char *wrong = pool_message_read(line, strlen(line), &message);

	ck_assert_msg(wrong == NULL, "%s: %s", line, wrong);
	return message;
}

static void
check_span(struct pool_span span, const char *wanted)
{
	ck_assert_uint_eq(span.size, strlen(wanted));
	ck_assert_mem_eq(span.at, wanted, span.size);
}

START_TEST(hello_says_who_it_is)
{
	struct pool_message hello = read_well(
	    "{\"hello\":{\"protocol\":1,\"kinds\":[\"a\" , \"b\\u0063\"],"
	    "\"concurrency\":7,\"later\":{\"x\":[1,\"}\"]}}}");

	ck_assert_int_eq(hello.type, POOL_HELLO);
	ck_assert_int_eq(hello.concurrency, 7);
	ck_assert(pool_message_has_kind(&hello, "a"));
	ck_assert(pool_message_has_kind(&hello, "bc"));
	ck_assert(!pool_message_has_kind(&hello, "c"));
	hello = read_well(" { \"hello\" : { \"protocol\" : 1 } } ");
	ck_assert_int_eq(hello.concurrency, 1);
	ck_assert(pool_message_has_kind(&hello, "any"));
	hello = read_well("{\"hello\":{\"protocol\":1,\"kinds\":[]}}");
	ck_assert(!pool_message_has_kind(&hello, "any"));
}
END_TEST

START_TEST(results_are_cut_out_as_they_stand)
{
	static const char *const results[] = {"null", "12345678901234567890",
	    "0.10", "\"a\\\"}]\\\\\"", "{\"a\":{\"b\":[{},[]]},\"}\":\"]\"}",
	    "[1 , 2]", "true", "-1e400"};

	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
		struct text line = TEXT_EMPTY;
		struct pool_message done;

		text_addf(&line, "{\"done\":{\"result\": %s , \"id\":\"42\"}}",
		    results[i]);
		done = read_well(line.data);
		ck_assert_int_eq(done.type, POOL_DONE);
		ck_assert_int_eq(done.id, 42);
		check_span(done.data, results[i]);
		ck_assert(done.data.at > line.data &&
			  done.data.at < line.data + line.length);
		text_free(&line);
	}
	ck_assert_ptr_null(read_well("{\"done\":{\"id\":\"1\"}}").data.at);
	ck_assert(read_well("{\"done\":{\"id\":\"9223372036854775807\"}}").id ==
		  INT64_MAX);
}
END_TEST

START_TEST(results_that_jsonb_refuses_are_told)
{
	ck_assert_ptr_nonnull(
	    read_well("{\"done\":{\"id\":\"1\",\"result\":\"\\u0000\"}}")
		.unfit);
	ck_assert_ptr_null(read_well("{\"done\":{\"id\":\"1\",\"result\":1,"
				     "\"more\":\"\\u0000\"}}")
			       .unfit);
}
END_TEST

START_TEST(fail_has_defaults_and_wishes)
{
	struct pool_message fail = read_well(
	    "{\"fail\":{\"id\":\"9\",\"error\":\"no\",\"after\":1.5}}");

	ck_assert(fail.retry);
	ck_assert_int_eq(fail.after_ms, 1500);
	check_span(fail.text, "\"no\"");
	fail = read_well("{\"fail\":{\"id\":\"9\",\"retry\":false,"
			 "\"after\":null}}");
	ck_assert(!fail.retry);
	ck_assert_int_eq(fail.after_ms, -1);
	ck_assert_ptr_null(fail.text.at);
	fail = read_well("{\"fail\":{\"id\":\"9\",\"after\":1e300}}");
	ck_assert_int_gt(fail.after_ms, 1000000000);
}
END_TEST

START_TEST(progress_and_pieces)
{
	struct pool_message message = read_well(
	    "{\"progress\":{\"id\":\"9\",\"fraction\":0.25,\"note\":\"x\"}}");

	ck_assert_double_eq(message.fraction, 0.25);
	check_span(message.text, "\"x\"");
	message = read_well("{\"chunk\":{\"id\":\"9\",\"data\":[1,{}]}}");
	check_span(message.data, "[1,{}]");
}
END_TEST

static const struct {
	const char *line, *wrong;
} bad[] = {
    {"", "is not JSON"},
    {"x", "is not JSON"},
    {"{\"done\":{\"id\":\"1\"}", "is not JSON"},
    {"{\"done\":{\"id\":\"1\"}}}", "is not JSON"},
    {"{\"done\":{\"id\":\"1\",\"result\":[1,]}}", "is not JSON"},
    {"\"\xff\"", "is not valid UTF-8"},
    {"1", "is not an object with one member"},
    {"{}", "is not an object with one member"},
    {"{\"done\":{\"id\":\"1\"},\"done\":{\"id\":\"1\"}}",
	"is not an object with one member"},
    {"{\"stop\":{}}", "is none of hello, done, fail, progress and chunk"},
    {"{\"done\":[]}", "has a message that is no object"},
    {"{\"done\":{}}", "has no id, or one that is not a string of digits"},
    {"{\"done\":{\"id\":\"\"}}",
	"has no id, or one that is not a string of digits"},
    {"{\"done\":{\"id\":\"-1\"}}",
	"has no id, or one that is not a string of digits"},
    {"{\"done\":{\"id\":\"9999999999999999999999\"}}",
	"has no id, or one that is not a string of digits"},
    {"{\"done\":{\"id\":\"9223372036854775808\"}}",
	"has no id, or one that is not a string of digits"},
    {"{\"fail\":{\"id\":\"1\",\"error\":1}}",
	"has a fail whose error is no string"},
    {"{\"fail\":{\"id\":\"1\",\"after\":-1}}",
	"has a fail whose after is no number of seconds"},
    {"{\"fail\":{\"id\":\"1\",\"after\":\"1\"}}",
	"has a fail whose after is no number of seconds"},
    {"{\"progress\":{\"id\":\"1\"}}",
	"has a progress whose fraction is not 0 to 1"},
    {"{\"progress\":{\"id\":\"1\",\"fraction\":0,\"note\":1}}",
	"has a progress whose note is no string"},
    {"{\"hello\":{\"protocol\":\"1\"}}", "has a hello without a protocol"},
    {"{\"hello\":{\"protocol\":1,\"concurrency\":1.5}}",
	"has a hello whose concurrency is not 1 to 1000"},
    {"{\"hello\":{\"protocol\":1,\"concurrency\":1e99}}",
	"has a hello whose concurrency is not 1 to 1000"},
    {"{\"hello\":{\"protocol\":1,\"concurrency\":[]}}",
	"has a hello whose concurrency is no number"},
    {"{\"hello\":{\"protocol\":1,\"kinds\":\"a\"}}",
	"has a hello whose kinds are no list"},
};

START_TEST(what_is_wrong_is_said)
{
	struct pool_message message;
	const char *line = bad[_i].line;

	ck_assert_pstr_eq(
	    pool_message_read(line, strlen(line), &message), bad[_i].wrong);
}
END_TEST

static void
check_string(const char *json, const char *wanted, size_t size)
{
	struct text text = TEXT_EMPTY;
	struct pool_span span = {json, strlen(json)};

	ck_assert(pool_span_string(span, &text));
	ck_assert_uint_eq(text.length, size);
	ck_assert_mem_eq(text_string(&text), wanted, size);
	text_free(&text);
}

START_TEST(strings_are_decoded)
{
	struct text text = TEXT_EMPTY;

	check_string("\"\"", "", 0);
	check_string(
	    "\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\"", "a\"\\/\b\f\n\r\tz", 10);
	check_string("\"\\u0041\\u00e9\\u20AC\\uD83d\\ude00\"",
	    "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10);
	check_string("\"\\ud83d\\u0041\\ude00\"",
	    "\xef\xbf\xbd"
	    "A\xef\xbf\xbd",
	    7);
	check_string("\"\\ud83d\"", "\xef\xbf\xbd", 3);
	check_string("\"\\u0000\"", "\0", 1);
	ck_assert(!pool_span_string((struct pool_span){"12", 2}, &text));
	ck_assert(!pool_span_string((struct pool_span){0}, &text));
	text_free(&text);
}
END_TEST

/* Twice the line, about twice the time; a line of 4 MiB in well under a
 * second. */
START_TEST(a_long_line_is_read_once)
{
	struct text line = TEXT_EMPTY;
	struct pool_message message;

	text_add_string(&line, "{\"done\":{\"id\":\"1\",\"result\":[");
	while (line.length < 4 << 20)
		text_add_string(&line, "{\"a\":[\"\\\\\",{}]},");
	text_add_string(&line, "0]}}");
	ck_assert_ptr_null(pool_message_read(line.data, line.length, &message));
	ck_assert_uint_gt(message.data.size, (4 << 20) - 100);
	text_free(&line);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("pool_message");
	TCase *tests = unit_case(suite, "messages");

	tcase_add_test(tests, hello_says_who_it_is);
	tcase_add_test(tests, results_are_cut_out_as_they_stand);
	tcase_add_test(tests, results_that_jsonb_refuses_are_told);
	tcase_add_test(tests, fail_has_defaults_and_wishes);
	tcase_add_test(tests, progress_and_pieces);
	tcase_add_loop_test(tests, what_is_wrong_is_said, 0,
	    (int)(sizeof(bad) / sizeof(bad[0])));
	tcase_add_test(tests, strings_are_decoded);
	tcase_add_test(tests, a_long_line_is_read_once);
	return unit_run(suite);
}
