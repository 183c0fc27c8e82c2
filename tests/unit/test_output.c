#include "daemon/handlers/output.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

static struct output_lines lines;
static char last[1 << 17];
static int logged;
static enum log_level last_level;
static int64_t last_task;
static struct text last_fields;

/* In place of the log. */

enum log_level
log_level_now(void)
{
	return LOG_LEVEL_INFO;
}

bool
log_level_parse(const char *name, enum log_level *ret_level)
{
	if (strcmp(name, "notice") == 0)
		*ret_level = LOG_LEVEL_NOTICE;
	return strcmp(name, "notice") == 0;
}

void
log_write(enum log_level level, enum log_kind kind,
    const struct log_context *context, const char *format, ...)
{
	va_list arguments;

	ck_assert_int_eq(kind, LOG_HANDLER_OUTPUT);
	last_level = level;
	last_task = context->task;
	text_clear(&last_fields);
	for (size_t i = 0; i < context->field_count; i++)
		text_addf(&last_fields, "%.*s=%.*s;",
		    (int)context->fields[i].name_length,
		    context->fields[i].name,
		    (int)context->fields[i].value_length,
		    context->fields[i].value);
	va_start(arguments, format);
	vsnprintf(last, sizeof(last), format, arguments);
	va_end(arguments);
	logged++;
}

static void
add(const char *bytes, size_t length)
{
	static const struct log_context context = {.task = 42};

	if (bytes != NULL)
		output_lines_add(&lines, &context, bytes, length);
	else
		output_lines_end(&lines, &context);
}

START_TEST(lines_in_pieces)
{
	add("a", 1);
	add("b", 1);
	ck_assert_int_eq(logged, 0);
	add("c\nsecond\nthi", 12);
	ck_assert_int_eq(logged, 2);
	ck_assert_str_eq(last, "second");
	ck_assert_int_eq(last_level, LOG_LEVEL_INFO);
	ck_assert_int_eq(last_task, 42);
	add(NULL, 0);
	ck_assert_int_eq(logged, 3);
	ck_assert_str_eq(last, "thi");
	add(NULL, 0);
	ck_assert_int_eq(logged, 3);
	output_lines_free(&lines);
}
END_TEST

START_TEST(foreign_bytes_are_escaped)
{
	add("\x1b[31m\0\xff\n", 8);
	ck_assert_str_eq(last, "\\x1b[31m\\x00\\xff");
	output_lines_free(&lines);
}
END_TEST

START_TEST(long_lines_are_cut)
{
	static char line[3 * OUTPUT_LINE_BYTES];

	memset(line, 'x', sizeof(line));
	add(line, OUTPUT_LINE_BYTES);
	add(line, sizeof(line));
	add("y\nz\n", 4);
	ck_assert_int_eq(logged, 2);
	ck_assert_str_eq(last, "z");
	line[sizeof(line) - 1] = '\n';
	add(line, sizeof(line));
	ck_assert_uint_eq(strlen(last), OUTPUT_LINE_BYTES + strlen(" (cut)"));
	ck_assert_uint_le(lines.tail.capacity, 3 * OUTPUT_TAIL_BYTES);
	output_lines_free(&lines);
}
END_TEST

START_TEST(too_many_lines_are_counted)
{
	for (int i = 0; i < OUTPUT_LINES + 500; i++)
		add("line\n", 5);
	ck_assert_int_eq(logged, OUTPUT_LINES);
	add("no end", 6);
	add(" of it", 6);
	add(NULL, 0);
	ck_assert_int_eq(logged, OUTPUT_LINES + 1);
	ck_assert_str_eq(last, "suppressed 501 lines");
	output_lines_free(&lines);
}
END_TEST

static void
check_tail(const char *wanted)
{
	size_t length;
	const char *tail = output_lines_tail(&lines, &length);

	ck_assert_uint_eq(length, strlen(wanted));
	ck_assert_int_eq(memcmp(tail, wanted, length), 0);
}

START_TEST(tail_is_the_end)
{
	static char many[OUTPUT_TAIL_BYTES + 1];

	check_tail("");
	add("one\ntwo\n\n", 9);
	check_tail("one\ntwo");
	memset(many, 'x', OUTPUT_TAIL_BYTES);
	for (int i = 0; i < 10; i++)
		add(many, OUTPUT_TAIL_BYTES - 100);
	check_tail(many);
	add("\xc3\xa4", 2);
	for (int i = 0; i < OUTPUT_TAIL_BYTES - 1; i++)
		add("y", 1);
	memset(many, 'y', OUTPUT_TAIL_BYTES - 1);
	many[OUTPUT_TAIL_BYTES - 1] = '\0';
	check_tail(many);
	output_lines_free(&lines);
}
END_TEST

static void
say(const char *words)
{
	add(words, strlen(words));
}

static void
about(struct log_context *context, int64_t task, void *argument)
{
	ck_assert_ptr_eq(argument, &lines);
	if (task != 0)
		context->task = task;
}

static void
check_said(const char *line, enum log_level level, const char *words,
    int64_t task, const char *fields)
{
	int before = logged;

	lines.reads_objects = true;
	lines.about = about;
	lines.argument = &lines;
	say(line);
	say("\n");
	ck_assert_int_eq(logged, before + 1);
	ck_assert_int_eq(last_level, level);
	ck_assert_str_eq(last, words);
	ck_assert_int_eq(last_task, task);
	ck_assert_str_eq(text_string(&last_fields), fields);
}

START_TEST(objects_have_level_task_and_fields)
{
	check_said("{\"log\":{\"message\":\"a\\nb\"}}", LOG_LEVEL_INFO, "a\nb",
	    42, "");
	check_said("{\"log\":{\"level\":4,\"message\":\"m\",\"id\":\"7\","
		   "\"size\":0.10,\"who\":\"\\u0041\",\"more\":{\"a\":[1]}}}",
	    LOG_LEVEL_WARNING, "m", 7, "size=0.10;who=A;more={\"a\":[1]};");
	check_said("{\"log\":{\"level\":0,\"message\":\"m\",\"id\":9}}",
	    LOG_LEVEL_ERROR, "m", 42, "");
	check_said("{\"log\":{\"level\":\"notice\",\"message\":\"m\"}}",
	    LOG_LEVEL_NOTICE, "m", 42, "");
	check_said("{\"log\":{\"level\":\"loud\",\"message\":\"\"}}",
	    LOG_LEVEL_INFO, "", 42, "");
	output_lines_free(&lines);
	text_free(&last_fields);
}
END_TEST

START_TEST(objects_of_others_are_plain_lines)
{
	static const char *const plain[] = {"{\"log\":{\"message\":5}}",
	    "{\"log\":\"words\"}", "{\"message\":\"words\",\"level\":3}", "{}",
	    "{\"log\":{\"message\":\"a\"}", "[{\"log\":{\"message\":\"a\"}}]"};

	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		check_said(plain[i], LOG_LEVEL_INFO, plain[i], 42, "");
	lines.reads_objects = false;
	say("{\"log\":{\"message\":\"a\"}}\n");
	ck_assert_str_eq(last, "{\"log\":{\"message\":\"a\"}}");
	output_lines_free(&lines);
}
END_TEST

START_TEST(objects_below_the_level_are_not_counted)
{
	lines.reads_objects = true;
	for (int i = 0; i < OUTPUT_LINES + 1; i++)
		say("{\"log\":{\"level\":7,\"message\":\"a\"}}\n");
	add(NULL, 0);
	ck_assert_int_eq(logged, 0);
	output_lines_free(&lines);
}
END_TEST

START_TEST(tail_has_messages_of_objects)
{
	static char long_one[OUTPUT_LINE_BYTES];

	lines.reads_objects = true;
	say("one\n{\"log\":{\"mess");
	say("age\":\"two\"}}\nthree\n");
	check_tail("one\ntwo\nthree");
	snprintf(long_one, sizeof(long_one),
	    "{\"log\":{\"message\":\"four\",\"more\":\"%*s\"}}",
	    2 * OUTPUT_TAIL_BYTES, "");
	say(long_one);
	add(NULL, 0);
	check_tail("four");
	output_lines_free(&lines);
}
END_TEST

static void
check_result(const char *bytes, size_t length, const char *wanted)
{
	struct text output = TEXT_EMPTY;

	if (length > 0)
		text_add(&output, bytes, length);
	ck_assert_ptr_null(output_to_result(&output));
	ck_assert_str_eq(text_string(&output), wanted);
	text_free(&output);
}

START_TEST(result_of_output)
{
	struct text output = TEXT_EMPTY;

	check_result(NULL, 0, "");
	check_result("{\"n\": 1e400}\n", 13, "{\"n\": 1e400}\n");
	check_result("0.10", 4, "0.10");
	check_result("hello \"you\"\n", 12, "\"hello \\\"you\\\"\\n\"");
	check_result("\n", 1, "\"\\n\"");
	check_result("{\"\\u0000", 8, "\"{\\\"\\\\u0000\"");
	text_add(&output, "a\0b", 3);
	ck_assert_str_eq(output_to_result(&output), "is not valid UTF-8 text");
	text_clear(&output);
	text_add(&output, "\"\xff\"", 3);
	ck_assert_str_eq(output_to_result(&output), "is not valid UTF-8 text");
	text_clear(&output);
	text_add_string(&output, "{\"a\": \"\\u0000\"}");
	ck_assert_str_eq(output_to_result(&output),
	    "holds \\u0000, which PostgreSQL cannot keep");
	text_free(&output);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("output");
	TCase *tests = unit_case(suite, "output");

	tcase_add_test(tests, lines_in_pieces);
	tcase_add_test(tests, foreign_bytes_are_escaped);
	tcase_add_test(tests, long_lines_are_cut);
	tcase_add_test(tests, too_many_lines_are_counted);
	tcase_add_test(tests, tail_is_the_end);
	tcase_add_test(tests, objects_have_level_task_and_fields);
	tcase_add_test(tests, objects_of_others_are_plain_lines);
	tcase_add_test(tests, objects_below_the_level_are_not_counted);
	tcase_add_test(tests, tail_has_messages_of_objects);
	tcase_add_test(tests, result_of_output);
	return unit_run(suite);
}
