#include "daemon/handlers/output.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

static struct output_lines lines;
static char last[1 << 17];
static int logged;

/* In place of the log. */
void
log_write(enum log_level level, enum log_kind kind,
    const struct log_context *context, const char *format, ...)
{
	va_list arguments;

	ck_assert_int_eq(level, LOG_LEVEL_INFO);
	ck_assert_int_eq(kind, LOG_HANDLER_OUTPUT);
	ck_assert_int_eq(context->task, 42);
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
	tcase_add_test(tests, result_of_output);
	return unit_run(suite);
}
