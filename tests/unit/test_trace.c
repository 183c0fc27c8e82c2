/* Traces: what is read, what is refused, and schedules on paper. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/text.h"
#include "ctl/trace.h"
#include "tests/unit/unit.h"

static struct error error;

static struct trace *
read_text(const char *text, double speed)
{
	char path[] = "/tmp/trace-XXXXXX";
	int file = mkstemp(path);
	struct trace *trace;

	ck_assert_int_ge(file, 0);
	ck_assert_int_eq(write(file, text, strlen(text)), (int)strlen(text));
	close(file);
	trace = trace_read(path, speed, &error);
	unlink(path);
	return trace;
}

#define TRACE_HEAD                                                             \
	"{\"name\": \"t\", \"workflow\": {\"specification\": {\"tasks\": ["
#define TRACE_MIDDLE "]}, \"execution\": {\"tasks\": ["
#define TRACE_TAIL "]}}}"
#define TRACE(tasks, ran) TRACE_HEAD tasks TRACE_MIDDLE ran TRACE_TAIL
#define TASK(id, parents) "{\"id\": \"" id "\", \"parents\": [" parents "]}"
#define RAN(id, seconds)                                                       \
	"{\"id\": \"" id "\", \"runtimeInSeconds\": " seconds "}"

/* Two short tasks come first; a long path waits behind them. */
static const char behind[] = TRACE(
    TASK("a", "") "," TASK("b", "") "," TASK("c", "") "," TASK("d", "\"c\""),
    RAN("a", "2") "," RAN("b", "2") "," RAN("c", "2") "," RAN("d", "4"));

START_TEST(paths_and_bounds)
{
	struct trace *trace = read_text(behind, 1);

	ck_assert_ptr_nonnull(trace);
	ck_assert_uint_eq(trace->count, 4);
	ck_assert_uint_eq(trace->edges, 1);
	ck_assert_double_eq(trace->work, 10);
	ck_assert_double_eq(trace->critical_path, 6);
	ck_assert_double_eq(trace->tasks[2].rest, 6);
	ck_assert_double_eq(trace_bound(trace, 1), 10);
	ck_assert_double_eq(trace_bound(trace, 2), 6);
	trace_free(trace);
}
END_TEST

START_TEST(critical_path_first_is_shorter)
{
	struct trace *trace = read_text(behind, 1);

	ck_assert_double_eq(trace_simulate(trace, 2, TRACE_CRITICAL_FIRST), 6);
	ck_assert_double_eq(trace_simulate(trace, 2, TRACE_FIRST_COME), 8);
	ck_assert_double_eq(trace_simulate(trace, 1, TRACE_FIRST_COME), 10);
	ck_assert_double_eq(trace_simulate(trace, 9, TRACE_FIRST_COME), 6);
	trace_free(trace);
}
END_TEST

START_TEST(speed_divides_lengths_and_parents_count_once)
{
	struct trace *trace =
	    read_text(TRACE(TASK("a", "") "," TASK("b", "\"a\", \"a\""),
			  RAN("b", "5") "," RAN("a", "1.5")),
		10);

	ck_assert_ptr_nonnull(trace);
	ck_assert_uint_eq(trace->edges, 1);
	ck_assert_double_eq_tol(trace->critical_path, 0.65, 1e-9);
	trace_free(trace);
}
END_TEST

#define NAMED(id, name) "{\"id\": \"" id "\", \"name\": \"" name "\"}"

START_TEST(a_number_at_the_end_makes_no_kind)
{
	struct trace *trace = read_text(
	    TRACE(NAMED("1", "cut_ID0001") "," NAMED("2", "cut_ID12") "," NAMED(
		      "3", "sew_3") "," NAMED("4", "cu") "," TASK("sew_4",
		      "") "," TASK("77", ""),
		RAN("1", "1") "," RAN("2", "1") "," RAN("3", "1") "," RAN(
		    "4", "1") "," RAN("sew_4", "1") "," RAN("77", "1")),
	    1);
	static const size_t kinds[] = {0, 0, 1, 2, 1, 3};

	ck_assert_ptr_nonnull(trace);
	for (size_t i = 0; i < trace->count; i++)
		ck_assert_uint_eq(trace->tasks[i].kind, kinds[i]);
	ck_assert_uint_eq(trace->kind_count, 4);
	ck_assert_str_eq(trace->kinds[0], "cut");
	ck_assert_str_eq(trace->kinds[1], "sew");
	ck_assert_str_eq(trace->kinds[3], "");
	trace_free(trace);
}
END_TEST

#define PROGRAM(id, program)                                                   \
	"{\"id\": \"" id "\", \"runtimeInSeconds\": 1, "                       \
	"\"command\": {\"program\": " program "}}"

START_TEST(tasks_of_one_program_are_of_one_kind)
{
	struct trace *trace = read_text(
	    TRACE(NAMED("1", "cut_linen") "," NAMED("2", "sew_1") "," NAMED(
		      "3", "cut_wool") "," NAMED("4", "sew_2") "," NAMED("5",
		      "sew_3") "," NAMED("6", "cut2"),
		PROGRAM("3", "\"cut2\"") "," PROGRAM("2",
		    "\"sew well\\n\"") "," PROGRAM("4", "\"\"") "," PROGRAM("1",
		    "\"cut2\"") "," PROGRAM("5", "3") "," RAN("6", "1")),
	    1);
	static const size_t kinds[] = {0, 1, 0, 1, 1, 2};

	ck_assert_ptr_nonnull(trace);
	for (size_t i = 0; i < trace->count; i++)
		ck_assert_uint_eq(trace->tasks[i].kind, kinds[i]);
	ck_assert_uint_eq(trace->kind_count, 3);
	ck_assert_str_eq(trace->kinds[0], "cut2");
	ck_assert_str_eq(trace->kinds[1], "sew");
	trace_free(trace);
}
END_TEST

START_TEST(the_last_kind_has_all_others)
{
	struct text tasks = TEXT_EMPTY, ran = TEXT_EMPTY, all = TEXT_EMPTY;
	struct trace *trace;

	for (int i = 0; i < TRACE_KINDS + 2; i++) {
		text_addf(
		    &tasks, "%s" NAMED("%d", "%dx"), i > 0 ? "," : "", i, i);
		text_addf(&ran, "%s" RAN("%d", "1"), i > 0 ? "," : "", i);
	}
	text_add_string(&all, TRACE_HEAD);
	text_add(&all, tasks.data, tasks.length);
	text_add_string(&all, TRACE_MIDDLE);
	text_add(&all, ran.data, ran.length);
	text_add_string(&all, TRACE_TAIL);
	trace = read_text(text_string(&all), 1);
	ck_assert_ptr_nonnull(trace);
	ck_assert_uint_eq(trace->kind_count, TRACE_KINDS);
	ck_assert_uint_eq(trace->tasks[0].kind, 0);
	ck_assert_uint_eq(trace->tasks[TRACE_KINDS - 1].kind, TRACE_KINDS - 1);
	ck_assert_uint_eq(trace->tasks[TRACE_KINDS + 1].kind, TRACE_KINDS - 1);
	trace_free(trace);
	text_free(&tasks);
	text_free(&ran);
	text_free(&all);
}
END_TEST

static const struct {
	const char *text, *words;
} wrong[] = {
    {"{\"workflow\": 3}", "no WfFormat 1.5"},
    {TRACE("", ""), "no WfFormat 1.5"},
    {"{", "expected"},
    {TRACE("{\"name\": \"a\"}", ""), "task number 1 has no id"},
    {TRACE(TASK("a", ""), RAN("a", "0")), "took no time"},
    {TRACE(TASK("a", ""), RAN("a", "-1")), "'a' has no runtimeInSeconds"},
    {TRACE(TASK("a", "") "," TASK("a", ""), RAN("a", "1")),
	"'a' stands there twice"},
    {TRACE(TASK("a", "\"x\""), RAN("a", "1")), "'x', which is not there"},
    {TRACE(TASK("a", "\"b\"") "," TASK("b", "\"a\""),
	 RAN("a", "1") "," RAN("b", "1")),
	"in a circle"},
};

START_TEST(what_is_wrong_is_said)
{
	ck_assert_ptr_null(read_text(wrong[_i].text, 1));
	ck_assert_msg(strstr(error.text, wrong[_i].words) != NULL,
	    "'%s' lacks '%s'", error.text, wrong[_i].words);
	ck_assert_str_ne(error.file, "");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("trace");
	TCase *tests = unit_case(suite, "trace");

	tcase_add_test(tests, paths_and_bounds);
	tcase_add_test(tests, critical_path_first_is_shorter);
	tcase_add_test(tests, speed_divides_lengths_and_parents_count_once);
	tcase_add_test(tests, a_number_at_the_end_makes_no_kind);
	tcase_add_test(tests, tasks_of_one_program_are_of_one_kind);
	tcase_add_test(tests, the_last_kind_has_all_others);
	tcase_add_loop_test(
	    tests, what_is_wrong_is_said, 0, sizeof(wrong) / sizeof(wrong[0]));
	return unit_run(suite);
}
