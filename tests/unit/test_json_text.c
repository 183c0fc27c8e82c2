#include "common/json_text.h"

#include <string.h>

#include "tests/unit/unit.h"

static const char *const valid[] = {"null", "true", "false", "0", "-0", "1",
    "-12.50", "1e400", "12345678901234567890", "0.10", "1E+2", "1e-2", "\"\"",
    "\"a\\u0000\\ud800\\n\\\"\"", "\"\xc3\xa4\"", "{}", "[]", " [ ] ",
    "{\"a\":1}", "{ \"a\" : [ 1 , {} , [] , {\"b\":null} ] , \"c\":\"d\" }",
    "[[[[1]]],[]]", "\t\r\n1\n", "{\"a\":{\"b\":{\"c\":[1,2]}},\"a\":2}",
    "[{},{}]"};

static const char *const invalid[] = {"", " ", "nul", "nulll", "TRUE", "01",
    "-", "+1", ".5", "1.", "1e", "1e+", "0x1", "NaN", "\"", "\"\\x\"",
    "\"\\u12g4\"", "\"\\u12\"", "\"a\nb\"", "\"\\", "[", "]", "[1", "[1,",
    "[1,]", "[,1]", "[1 2]", "{", "}", "{]", "[}", "{\"a\"}", "{\"a\":}",
    "{\"a\":1,}", "{a:1}", "{1:1}", "{\"a\":1 \"b\":2}", "1 2", "{}{}", "[]]",
    "'a'", "hello", "{\"a\":1}}", "[{]}"};

START_TEST(valid_json)
{
	ck_assert_msg(
	    json_text_is_valid(valid[_i], strlen(valid[_i])), "%s", valid[_i]);
}
END_TEST

START_TEST(invalid_json)
{
	ck_assert_msg(!json_text_is_valid(invalid[_i], strlen(invalid[_i])),
	    "%s", invalid[_i]);
}
END_TEST

START_TEST(every_prefix_of_an_object_is_invalid)
{
	static const char json[] = "{\"a\": [1, -2.5e3, \"\\u00e4\", null]}";

	for (size_t length = 0; length < strlen(json); length++)
		ck_assert_msg(!json_text_is_valid(json, length), "%zu", length);
	ck_assert(json_text_is_valid(json, strlen(json)));
	ck_assert(!json_text_is_valid("1\0", 2));
	ck_assert(!json_text_is_valid("\"\\\0\"", 4));
}
END_TEST

START_TEST(absurd_nesting_needs_no_stack)
{
	enum { DEPTH = 1 << 20 };
	char *json = malloc(2 * DEPTH);

	memset(json, '[', DEPTH);
	memset(json + DEPTH, ']', DEPTH);
	ck_assert(json_text_is_valid(json, 2 * DEPTH));
	ck_assert(!json_text_is_valid(json, 2 * DEPTH - 1));
	free(json);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("json_text");
	TCase *tests = unit_case(suite, "json_text");

	tcase_add_loop_test(
	    tests, valid_json, 0, sizeof(valid) / sizeof(valid[0]));
	tcase_add_loop_test(
	    tests, invalid_json, 0, sizeof(invalid) / sizeof(invalid[0]));
	tcase_add_test(tests, every_prefix_of_an_object_is_invalid);
	tcase_add_test(tests, absurd_nesting_needs_no_stack);
	return unit_run(suite);
}
