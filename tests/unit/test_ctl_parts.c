/* Parts of musterctl that need no server: options, words, numbers, columns. */
#include <errno.h>
#include <locale.h>
#include <string.h>

#include "ctl/flow.h"
#include "ctl/format.h"
#include "ctl/json.h"
#include "ctl/options.h"
#include "ctl/terminal.h"
#include "common/nearest.h"
#include "tests/unit/unit.h"

static const struct option verb_list[] = {
    {"queue", 'q', "QUEUE", ""}, {"detach", 'd', NULL, ""}, {0}};
static const struct option global_list[] = {
    {"config", 'c', "FILE", ""}, {"json", 0, NULL, ""}, {0}};

static struct options options;
static struct error error;

/* Parses words separated by blanks. */
static int
parse(char *line)
{
	static char *words[16];
	int count = 0;

	for (char *word = strtok_r(line, " ", &line); word != NULL;
	     word = strtok_r(NULL, " ", &line))
		words[count++] = word;
	options = (struct options){.lists = {verb_list, global_list}};
	return options_parse(&options, count, words, &error);
}

START_TEST(test_options)
{
	char line[] = "a -q x --json b --queue=y -dc f -- -z";

	ck_assert_int_eq(parse(line), 0);
	ck_assert_str_eq(options_value(&options, "queue"), "y");
	ck_assert_str_eq(options_value(&options, "detach"), "");
	ck_assert_str_eq(options_value(&options, "json"), "");
	ck_assert_str_eq(options_value(&options, "config"), "f");
	ck_assert_int_eq(options.argument_count, 3);
	ck_assert_str_eq(options.arguments[1], "b");
	ck_assert_str_eq(options.arguments[2], "-z");
	options_free(&options);
}
END_TEST

static const struct {
	const char *line, *words;
} refused[] = {
    {"--bogus", "unknown option --bogus"},
    {"-x", "unknown option -x"},
    {"a --queue", "--queue needs a value (QUEUE)"},
    {"-q", "--queue needs a value (QUEUE)"},
    {"--json=yes", "--json takes no value"},
    {"--que x", "unknown option --que"},
};

START_TEST(test_options_refused)
{
	char line[64];

	memcpy(line, refused[_i].line, strlen(refused[_i].line) + 1);
	ck_assert_int_eq(parse(line), -EINVAL);
	ck_assert_str_eq(error.text, refused[_i].words);
	options_free(&options);
}
END_TEST

START_TEST(test_first_word)
{
	char words[][8] = {"-c", "f", "--json", "--queue", "run", "x"};
	char *argv[] = {words[0], words[1], words[2], words[4], words[5]};
	struct options global = {.lists = {NULL, global_list}};

	ck_assert_int_eq(options_first_word(&global, 5, argv), 3);
	ck_assert_int_eq(options_first_word(&global, 2, argv), 2);
	ck_assert_int_eq(options_first_word(&global, 1, argv), 1);
}
END_TEST

static const struct {
	const char *typed, *nearest; /* NULL: none */
} typed[] = {
    {"taks", "task"},
    {"priorty", "priority"},
    {"tsk", "task"},
    {"zzzz", NULL},
    {"x", NULL},
    {"", NULL},
    {"retry", "retry"},
};

START_TEST(test_nearest)
{
	static const char *const known[] = {"task", "priority", "retry"};
	struct nearest nearest = nearest_start(typed[_i].typed);

	for (size_t i = 0; i < 3; i++)
		nearest_offer(&nearest, known[i]);
	ck_assert_pstr_eq(nearest.word, typed[_i].nearest);
}
END_TEST

static const struct {
	int64_t ms;
	const char *text;
} durations[] = {
    {-5, "0ms"},
    {0, "0ms"},
    {999, "999ms"},
    {1250, "1.2s"},
    {59999, "59s"},
    {200000, "3m20s"},
    {7500000, "2h05m"},
    {273600000, "3d04h"},
};

START_TEST(test_format_ms)
{
	struct text text = TEXT_EMPTY;

	format_ms(&text, durations[_i].ms);
	ck_assert_str_eq(text_string(&text), durations[_i].text);
	text_free(&text);
}
END_TEST

START_TEST(test_format_ids)
{
	int64_t id;

	ck_assert(format_parse_id("9223372036854775807", &id));
	ck_assert_int_eq(id, INT64_MAX);
	ck_assert(!format_parse_id("9223372036854775808", &id));
	ck_assert(!format_parse_id("0", &id));
	ck_assert(!format_parse_id("-1", &id));
	ck_assert(!format_parse_id("+1", &id));
	ck_assert(!format_parse_id(" 1", &id));
	ck_assert(!format_parse_id("1 ", &id));
	ck_assert(!format_parse_id("", &id));
	ck_assert(format_is_int("-5", -5, 5));
	ck_assert(!format_is_int("6", -5, 5));
	ck_assert(!format_is_int("1.0", -5, 5));
}
END_TEST

START_TEST(test_format_time_utc)
{
	struct text text = TEXT_EMPTY;

	format_time_utc(&text, 1732525200000042);
	ck_assert_str_eq(text_string(&text), "2024-11-25T09:00:00.000042Z");
	text_free(&text);
}
END_TEST

static const struct {
	const char *string;
	int columns;
	const char *cut;
} cuts[] = {
    {"abc", 3, "abc"},
    {"abcd", 3, "ab…"},
    {"äöü", 3, "äöü"},
    {"日本語", 6, "日本語"},
    {"日本語", 5, "日本…"},
    {"日本語", 4, "日…"},
    {"\xff\xfe", 2, "\xff\xfe"},
    {"abc", 0, ""},
};

START_TEST(test_cut)
{
	struct text text = TEXT_EMPTY;

	setlocale(LC_CTYPE, "C.UTF-8");
	terminal_add_cut(&text, cuts[_i].string, cuts[_i].columns);
	ck_assert_str_eq(text_string(&text), cuts[_i].cut);
	text_free(&text);
}
END_TEST

START_TEST(test_json)
{
	struct json json = JSON_EMPTY;

	json_begin(&json, '{');
	json_add_key(&json, "a");
	json_begin(&json, '[');
	json_add_number(&json, -1);
	json_add_string(&json, "x\"\x1b\xff");
	json_add_string(&json, NULL);
	json_begin(&json, '{');
	json_end(&json, '}');
	json_end(&json, ']');
	json_add_key(&json, "b");
	json_add_bool(&json, true);
	json_end(&json, '}');
	ck_assert_str_eq(text_string(&json.text),
	    "{\"a\":[-1,\"x\\\"\\u001b\xef\xbf\xbd\",null,{}],\"b\":true}");
	text_free(&json.text);
}
END_TEST

#define LOOP(tests, test, table)                                               \
	tcase_add_loop_test(                                                   \
	    tests, test, 0, (int)(sizeof(table) / sizeof((table)[0])))

int
main(void)
{
	Suite *suite = suite_create("ctl_parts");
	TCase *tests = unit_case(suite, "parts");

	tcase_add_test(tests, test_options);
	LOOP(tests, test_options_refused, refused);
	tcase_add_test(tests, test_first_word);
	LOOP(tests, test_nearest, typed);
	LOOP(tests, test_format_ms, durations);
	tcase_add_test(tests, test_format_ids);
	tcase_add_test(tests, test_format_time_utc);
	LOOP(tests, test_cut, cuts);
	tcase_add_test(tests, test_json);
	return unit_run(suite);
}
