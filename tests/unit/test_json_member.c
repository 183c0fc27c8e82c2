/* Envelopes of JSON, taken apart by byte range. */
#include "common/json_member.h"

#include <string.h>

#include "tests/unit/unit.h"

static struct json_value
value_of(const char *json)
{
	struct json_value value = {0};

	ck_assert_msg(json_value_of(json, strlen(json), &value), "%s", json);
	return value;
}

static void
check_member(const char *json, const char *name, const char *wanted)
{
	struct json_value value;

	if (wanted == NULL) {
		ck_assert(!json_member(value_of(json), name, &value));
		return;
	}
	ck_assert_msg(json_member(value_of(json), name, &value), "%s", json);
	ck_assert_uint_eq(value.length, strlen(wanted));
	ck_assert_int_eq(memcmp(value.at, wanted, value.length), 0);
}

START_TEST(members_are_found_as_they_are_written)
{
	const char *json = " { \"a\" : 0.10 , \"b\":{\"a\":[1,{}],\"x\":\"}\"},"
			   "\"c\\\"\":\"\\\\\" ,\"d\":[\"a\",\"]\"], \"e\" :\n"
			   "\"x,\\\"y\" ,\"a\":2}\n";

	check_member(json, "a", "0.10");
	check_member(json, "b", "{\"a\":[1,{}],\"x\":\"}\"}");
	check_member(json, "d", "[\"a\",\"]\"]");
	check_member(json, "e", "\"x,\\\"y\"");
	check_member(json, "x", NULL);
	check_member(json, "", NULL);
	check_member("{}", "a", NULL);
	check_member("{ }", "a", NULL);
	check_member("[{\"a\":1}]", "a", NULL);
	check_member("\"{a\"", "a", NULL);
	check_member("{\"\":{\"a\":1}}", "", "{\"a\":1}");
}
END_TEST

static void
check_members(const char *json, const char *wanted)
{
	struct json_value rest = value_of(json), name, value;
	struct text found = TEXT_EMPTY;

	while (json_next_member(&rest, &name, &value))
		text_addf(&found, "%.*s=%.*s;", (int)name.length, name.at,
		    (int)value.length, value.at);
	ck_assert_str_eq(text_string(&found), wanted);
	text_free(&found);
}

START_TEST(members_come_one_after_another)
{
	check_members(" { \"a\\\"\" : [1,{}] ,\"\":\",\",\n\"b\":{\"c\":1} } ",
	    "a\\\"=[1,{}];=\",\";b={\"c\":1};");
	check_members("{}", "");
	check_members("[{\"a\":1}]", "");
	check_members("\",\"", "");
	check_members("7", "");
}
END_TEST

static const char *const refused[] = {"", "{", "{\"a\":}", "\"\\u0000\"",
    "\"\\ud800\"", "\"\xff\"", "1 2", "nul"};

START_TEST(what_is_no_json_is_refused)
{
	struct json_value value;

	ck_assert(!json_value_of(refused[_i], strlen(refused[_i]), &value));
}
END_TEST

static const struct {
	const char *json, *string; /* NULL: none */
} strings[] = {
    {"\"\"", ""},
    {"\"plain\"", "plain"},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
    {"\"\\u0041\\u00e4\\u20AC\\ud83d\\ude00!\"",
	"A\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80!"},
    {"\"\xc3\xa4\\\\\"", "\xc3\xa4\\"},
    {"7", NULL},
    {"[\"a\"]", NULL},
    {"null", NULL},
};

START_TEST(strings_say_what_they_say)
{
	struct text text = TEXT_EMPTY;
	bool is_string = json_value_string(value_of(strings[_i].json), &text);

	ck_assert_int_eq(is_string, strings[_i].string != NULL);
	if (is_string)
		ck_assert_str_eq(text_string(&text), strings[_i].string);
	text_free(&text);
}
END_TEST

START_TEST(numbers)
{
	double number = 0;

	ck_assert(json_value_double(value_of("0.25"), &number));
	ck_assert_double_eq(number, 0.25);
	ck_assert(json_value_double(value_of(" -1e2 "), &number));
	ck_assert_double_eq(number, -100);
	ck_assert(!json_value_double(value_of("1e400"), &number));
	ck_assert(!json_value_double(value_of("\"1\""), &number));
	ck_assert(!json_value_double(value_of("null"), &number));
	ck_assert(!json_value_double(value_of("{}"), &number));
	ck_assert_double_eq(number, -100);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("json_member");
	TCase *tests = unit_case(suite, "json_member");

	tcase_add_test(tests, members_are_found_as_they_are_written);
	tcase_add_test(tests, members_come_one_after_another);
	tcase_add_loop_test(tests, what_is_no_json_is_refused, 0,
	    (int)(sizeof(refused) / sizeof(refused[0])));
	tcase_add_loop_test(tests, strings_say_what_they_say, 0,
	    (int)(sizeof(strings) / sizeof(strings[0])));
	tcase_add_test(tests, numbers);
	return unit_run(suite);
}
