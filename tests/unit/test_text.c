#include "common/error.h"
#include "common/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

static struct text text;

static void
check_text(const char *wanted)
{
	ck_assert_str_eq(text_string(&text), wanted);
	ck_assert_uint_eq(text.length, strlen(wanted));
	text_free(&text);
}

START_TEST(grows_and_keeps_its_nul)
{
	for (int i = 0; i < 1000; i++) {
		text_add_string(&text, "0123456789");
		ck_assert_uint_eq(strlen(text.data), text.length);
	}
	ck_assert_uint_eq(text.length, 10000);
	text_clear(&text);
	text_add_char(&text, 'x');
	text_addf(&text, "%s-%d", "y", 7);
	check_text("xy-7");
}
END_TEST

START_TEST(empty_text_is_a_string)
{
	char *stolen;

	ck_assert_str_eq(text_string(&text), "");
	text_add(&text, NULL, 0);
	ck_assert_str_eq(text.data, "");
	text_free(&text);
	stolen = text_steal(&text);
	ck_assert_str_eq(stolen, "");
	free(stolen);
	text_free(&text);
}
END_TEST

START_TEST(stolen_text_is_gone)
{
	char *stolen;

	text_add_string(&text, "abc");
	stolen = text_steal(&text);
	ck_assert_str_eq(stolen, "abc");
	ck_assert_ptr_null(text.data);
	ck_assert_uint_eq(text.length, 0);
	free(stolen);
}
END_TEST

START_TEST(integers)
{
	static const int64_t numbers[] = {
	    0, 7, -1, 1234567890, INT64_MAX, INT64_MIN};
	char wanted[32];

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		snprintf(wanted, sizeof(wanted), "%" PRId64, numbers[i]);
		text_add_int(&text, numbers[i]);
		check_text(wanted);
	}
}
END_TEST

START_TEST(json_strings)
{
	text_add_json_string(&text, "a\"b\\c\n\t\x01\x0b/\xc3\xa4\x7f", 13);
	check_text("\"a\\\"b\\\\c\\n\\t\\u0001\\u000b/\xc3\xa4\\u007f\"");
	text_add_json_string(&text, "", 0);
	check_text("\"\"");
	text_add_json_string(&text, "\b\f\r", 3);
	check_text("\"\\b\\f\\r\"");
}
END_TEST

START_TEST(array_items)
{
	text_add_array_item(&text, NULL, 0);
	check_text("NULL");
	text_add_array_item(&text, "NULL", 4);
	check_text("\"NULL\"");
	text_add_array_item(&text, "a\"b\\", 4);
	check_text("\"a\\\"b\\\\\"");
	text_add_array_item(&text, "", 0);
	check_text("\"\"");
}
END_TEST

START_TEST(utf8_accepts)
{
	static const char *const good[] = {"", "abc", "\xc3\xa4",
	    "\xe2\x82\xac", "\xf0\x9f\x90\xb4", "\xf4\x8f\xbf\xbf",
	    "\xed\x9f\xbf", "\xee\x80\x80"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ck_assert_msg(
		    utf8_is_valid(good[i], strlen(good[i])), "%zu", i);
}
END_TEST

START_TEST(utf8_refuses)
{
	static const char *const bad[] = {"\xff", "\x80", "\xc3", "\xc0\xaf",
	    "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
	    "\xf5\x80\x80\x80", "\xe2\x82", "a\xe2\x28\xa1"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!utf8_is_valid(bad[i], strlen(bad[i])), "%zu", i);
	ck_assert(!utf8_is_valid("a\0b", 3));
}
END_TEST

#define REPLACED "\xef\xbf\xbd"

START_TEST(foreign_bytes_become_utf8)
{
	text_add_utf8(&text, "a\xff\0z\xed\xa0\x80", 7, 1000);
	check_text("a" REPLACED REPLACED "z" REPLACED REPLACED REPLACED);
	text_add_utf8(&text, "\xe2\x82\xac", 3, 1000);
	check_text("\xe2\x82\xac");
	text_add_utf8(&text, "x\xe2\x82", 3, 1000);
	check_text("x" REPLACED REPLACED);
}
END_TEST

START_TEST(foreign_bytes_are_cut_at_a_character)
{
	text_add_string(&text, "12");
	text_add_utf8(&text, "ab\xe2\x82\xac", 5, 4);
	check_text("12ab");
	text_add_utf8(&text, "ab\xe2\x82\xac", 5, 5);
	check_text("ab\xe2\x82\xac");
	text_add_utf8(&text, "\xff\xff", 2, 5);
	check_text(REPLACED);
	text_add_utf8(&text, "abc", 3, 0);
	check_text("");
}
END_TEST

START_TEST(foreign_bytes_are_escaped)
{
	text_add_escaped(
	    &text, "a\nb\tc\rd\x1b[31m\x7f\xc2\x9b\xff\0\xc3\xa4\\", 20);
	check_text("a\\nb\\tc\\rd\\x1b[31m\\x7f\\x9b\\xff\\x00\xc3\xa4\\");
}
END_TEST

START_TEST(error_names_its_place)
{
	struct error error;
	char buffer[2048];
	char word[2000];

	error_set(&error, "unknown key '%s'", "wrokers");
	ck_assert_str_eq(error_format(&error, buffer, sizeof(buffer)),
	    "unknown key 'wrokers'");
	error_place(&error, "/etc/m.yaml", 3, 7);
	ck_assert_str_eq(error_format(&error, buffer, sizeof(buffer)),
	    "/etc/m.yaml:3:7: unknown key 'wrokers'");
	error_place(&error, "/etc/m.yaml", 0, 0);
	ck_assert_str_eq(error_format(&error, buffer, sizeof(buffer)),
	    "/etc/m.yaml: unknown key 'wrokers'");
	memset(word, 'x', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	error_set(&error, "%s", word);
	ck_assert_uint_eq(strlen(error.text), sizeof(error.text) - 1);
	ck_assert_int_eq(error.file[0], '\0');
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("text");
	TCase *tests = unit_case(suite, "text");

	tcase_add_test(tests, grows_and_keeps_its_nul);
	tcase_add_test(tests, empty_text_is_a_string);
	tcase_add_test(tests, stolen_text_is_gone);
	tcase_add_test(tests, integers);
	tcase_add_test(tests, json_strings);
	tcase_add_test(tests, array_items);
	tests = unit_case(suite, "foreign");
	tcase_add_test(tests, utf8_accepts);
	tcase_add_test(tests, utf8_refuses);
	tcase_add_test(tests, foreign_bytes_become_utf8);
	tcase_add_test(tests, foreign_bytes_are_cut_at_a_character);
	tcase_add_test(tests, foreign_bytes_are_escaped);
	tests = unit_case(suite, "error");
	tcase_add_test(tests, error_names_its_place);
	return unit_run(suite);
}
