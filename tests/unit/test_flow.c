/* Flow files: what is read, what is refused and where, and the JSON. */
#include <string.h>

#include "ctl/flow.h"
#include "ctl/tree.h"
#include "tests/unit/unit.h"

static struct flow_errors errors;

static struct flow *
parse(const char *text)
{
	return flow_parse("f.yaml", text, strlen(text), &errors);
}

/* The document that a right flow gives. */
static void
expect_json(const char *yaml, const char *json)
{
	struct flow *flow = parse(yaml);
	struct text text = TEXT_EMPTY;

	ck_assert_ptr_nonnull(flow);
	ck_assert_uint_eq(errors.count, 0);
	flow_json(flow, &text);
	ck_assert_str_eq(text_string(&text), json);
	text_free(&text);
	flow_free(flow);
}

/* The first error of a wrong one: its place and words in it. */
static void
expect_error(const char *yaml, int line, int column, const char *words)
{
	const struct error *error = &errors.items[0];

	ck_assert_ptr_null(parse(yaml));
	ck_assert_uint_ge(errors.count, 1);
	ck_assert_msg(strstr(error->text, words) != NULL, "'%s' lacks '%s'",
	    error->text, words);
	ck_assert_str_eq(error->file, "f.yaml");
	ck_assert_int_eq(error->line, line);
	ck_assert_int_eq(error->column, column);
	flow_errors_free(&errors);
}

#define ONE(task) "flow: x\ntasks:\n  a: " task "\n"
#define ONE_JSON(task)                                                         \
	"{\"flow\":\"x\",\"tasks\":{\"a\":" task "}"                           \
	"}"
/* Of one payload. */
#define PAYLOAD(value)                                                         \
	ONE("{kind: k, payload: " value "}"),                                  \
	    ONE_JSON("{\"kind\":\"k\",\"payload\":"

START_TEST(test_minimal)
{
	expect_json(ONE("{kind: k}"), ONE_JSON("{\"kind\":\"k\"}"));
}
END_TEST

START_TEST(test_every_key)
{
	expect_json("flow: all\non_failure: continue\ntasks:\n"
		    "  b:\n"
		    "    kind: k\n    queue: q\n    timeout: 30s\n"
		    "    expect: 1h30m\n    run_at: tomorrow\n"
		    "    priority: -5\n    max_attempts: 3\n"
		    "    payload: {n: 1}\n"
		    "    needs: [a, {task: c, when: finished}]\n"
		    "  a: {kind: '7', unique_key: 7, lock: 8}\n"
		    "  c: {kind: k, needs: [{task: a, when: failed}],\n"
		    "      lock: {key: gpu, limit: 2}}\n",
	    "{\"flow\":\"all\",\"on_failure\":\"continue\",\"tasks\":{"
	    "\"b\":{\"kind\":\"k\",\"queue\":\"q\",\"timeout\":\"30000ms\","
	    "\"expect\":\"5400000ms\",\"run_at\":\"tomorrow\",\"priority\":-5,"
	    "\"max_attempts\":3,\"payload\":{\"n\":1},\"needs\":["
	    "{\"task\":\"a\",\"when\":\"succeeded\"},"
	    "{\"task\":\"c\",\"when\":\"finished\"}]},"
	    "\"a\":{\"kind\":\"7\",\"unique_key\":\"7\",\"lock\":\"8\"},"
	    "\"c\":{\"kind\":\"k\",\"lock\":{\"key\":\"gpu\",\"limit\":2},"
	    "\"needs\":["
	    "{\"task\":\"a\",\"when\":\"failed\"}]}}}");
}
END_TEST

START_TEST(test_A5_maps)
{
	expect_json(ONE("{kind: k, map: [1, x], chunk: 10}"),
	    ONE_JSON("{\"kind\":\"k\",\"map\":[1,\"x\"],\"chunk\":10}"));
	expect_json(
	    "flow: x\ntasks:\n"
	    "  7: {kind: k}\n"
	    "  a: {kind: k, needs: [7], payload: {n: 1},\n"
	    "      map: {from: 7, max_running: 2, on_failure: cancel}}\n",
	    "{\"flow\":\"x\",\"tasks\":{\"7\":{\"kind\":\"k\"},\"a\":{"
	    "\"kind\":\"k\",\"payload\":{\"n\":1},\"map\":{\"from\":\"7\","
	    "\"max_running\":2,\"on_failure\":\"cancel\"},\"needs\":["
	    "{\"task\":\"7\",\"when\":\"succeeded\"}]}}}");
}
END_TEST

static const char nested[] = "flow: x\ntasks:\n"
			     "  a: {kind: k}\n"
			     "  b:\n"
			     "    needs: [a]\n"
			     "    flow:\n"
			     "      on_failure: cancel\n"
			     "      tasks:\n"
			     "        a: {kind: k}\n"
			     "        c: {kind: k, map: [1], needs: [a]}\n"
			     "  d: {kind: k, needs: [b]}\n";

START_TEST(test_A4_nested)
{
	expect_json(nested,
	    "{\"flow\":\"x\",\"tasks\":{\"a\":{\"kind\":\"k\"},\"b\":{"
	    "\"flow\":{\"on_failure\":\"cancel\",\"tasks\":{\"a\":{\"kind\":"
	    "\"k\"},\"c\":{\"kind\":\"k\",\"map\":[1],\"needs\":[{\"task\":"
	    "\"a\",\"when\":\"succeeded\"}]}}},\"needs\":[{\"task\":\"a\","
	    "\"when\":\"succeeded\"}]},\"d\":{\"kind\":\"k\",\"needs\":[{"
	    "\"task\":\"b\",\"when\":\"succeeded\"}]}}}");
}
END_TEST

/* Numbers keep every digit; what is no number of JSON is text. */
static const struct {
	const char *yaml, *json;
} values[] = {
    {PAYLOAD("12345678901234567890") "12345678901234567890}")},
    {PAYLOAD("0.10") "0.10}")},
    {PAYLOAD("-0") "-0}")},
    {PAYLOAD("1e400") "1e400}")},
    {PAYLOAD("1E+2") "1E+2}")},
    {PAYLOAD("0777") "\"0777\"}")},
    {PAYLOAD("0x1f") "\"0x1f\"}")},
    {PAYLOAD("1_000") "\"1_000\"}")},
    {PAYLOAD("+5") "\"+5\"}")},
    {PAYLOAD(".5") "\".5\"}")},
    {PAYLOAD("5.") "\"5.\"}")},
    {PAYLOAD("1e") "\"1e\"}")},
    {PAYLOAD("-") "\"-\"}")},
    {PAYLOAD(".inf") "\".inf\"}")},
    {PAYLOAD("12:30") "\"12:30\"}")},
    {PAYLOAD("\"12\"") "\"12\"}")},
    {PAYLOAD("'true'") "\"true\"}")},
    {PAYLOAD("true") "true}")},
    {PAYLOAD("false") "false}")},
    {PAYLOAD("True") "\"True\"}")},
    {PAYLOAD("yes") "\"yes\"}")},
    {PAYLOAD("no") "\"no\"}")},
    {PAYLOAD("null") "null}")},
    {PAYLOAD("") "null}")},
    {PAYLOAD("~") "\"~\"}")},
    {PAYLOAD("''") "\"\"}")},
    {PAYLOAD("[1, [], {b: {}, a: x y}]") "[1,[],{\"a\":\"x y\",\"b\":{}}]}")},
    {PAYLOAD("\"\\e[31m\\n\\\"\\\\\"") "\"\\u001b[31m\\n\\\"\\\\\"}")},
    {PAYLOAD("\"é→\\U0001F600\"") "\"é→😀\"}")},
};

START_TEST(test_H4_values)
{
	expect_json(values[_i].yaml, values[_i].json);
}
END_TEST

static const struct {
	const char *yaml;
	int line, column;
	const char *words;
} wrong[] = {
    {"", 1, 1, "'flow' is missing"},
    {"- a\n", 1, 1, "must be a map"},
    {"flow: x\n", 1, 1, "'tasks' is missing"},
    {"flow: x\ntasks: {}\n", 2, 8, "one task at least"},
    {"flow: x\ntasks: [a]\n", 2, 8, "one task at least"},
    {"flow: x\ntask: {}\n", 2, 1, "did you mean 'tasks'?"},
    {"flow: [x]\ntasks: {a: {kind: k}}\n", 1, 7, "flow must be a word"},
    {"flow: x\non_failure: stop\ntasks: {a: {kind: k}}\n", 2, 13,
	"cancel or continue"},
    {ONE("{}"), 3, 3, "task 'a' has no kind"},
    {ONE("k"), 3, 6, "must be a map"},
    {ONE("{kind: k, prioriti: 3}"), 3, 16, "did you mean 'priority'?"},
    {ONE("{kind: k, zzzzzz: 3}"), 3, 16, "unknown key 'zzzzzz'"},
    {ONE("{kind: k, map: {from: b}}"), 3, 28, "not among the needs of 'a'"},
    {ONE("{kind: k, map: 7}"), 3, 21, "a list or {from: NEED}"},
    {ONE("{kind: k, map: {}}"), 3, 21, "either from or over"},
    {ONE("{kind: k, map: {over: 7}}"), 3, 28, "over must be a list"},
    {ONE("{kind: k, map: {over: [], form: b}}"), 3, 32, "mean 'from'?"},
    {ONE("{kind: k, map: {over: [], max_running: 0}}"), 3, 45, "whole number"},
    {ONE("{kind: k, map: {over: [], on_failure: x}}"), 3, 44,
	"cancel or continue"},
    {ONE("{kind: k, map: [], payload: 7}"), 3, 34, "must be a map"},
    {ONE("{kind: k, map: [], chunk: 0}"), 3, 32, "whole number"},
    {ONE("{kind: k, chunk: 3}"), 3, 16, "there is none"},
    {ONE("{map: []}"), 3, 3, "task 'a' has no kind"},
    {ONE("{flow: 7}"), 3, 13, "a flow must be a map"},
    {ONE("{flow: {}}"), 3, 13, "'tasks' is missing"},
    {ONE("{flow: {tasks: {b: {kind: k}}}, kind: k}"), 3, 38,
	"leaves kind to its tasks"},
    {ONE("{flow: {tasks: {b: {knd: k}}}}"), 3, 26, "did you mean 'kind'?"},
    {ONE("{flow: {tasks: {b: {kind: k, needs: [a]}}}}"), 3, 43,
	"needs 'a', which is no task of this flow"},
    {ONE("{flow: {tasks: {b: {kind: k, needs: [b]}}}}"), 3, 22,
	"in a circle: b → b"},
    {ONE("{kind: k, priority: 1001}"), 3, 26, "-1000 … 1000"},
    {ONE("{kind: k, priority: high}"), 3, 26, "whole number"},
    {ONE("{kind: k, priority: '5'}"), 3, 26, "whole number"},
    {ONE("{kind: k, max_attempts: 0}"), 3, 30, "whole number"},
    {ONE("{kind: k, timeout: 30}"), 3, 25, "a duration"},
    {ONE("{kind: k, lock: [a]}"), 3, 22, "must be a key or"},
    {ONE("{kind: k, lock: {limit: 2}}"), 3, 22, "'key' is missing"},
    {ONE("{kind: k, lock: {key: a, limit: 0}}"), 3, 38, "whole number"},
    {ONE("{kind: k, lock: {key: a, slots: 2}}"), 3, 31, "unknown key 'slots'"},
    {ONE("{kind: k, kind: l}"), 3, 16, "duplicate key 'kind'"},
    {ONE("{kind: k, needs: b}"), 3, 23, "must be a list"},
    {ONE("{kind: k, needs: [b]}"), 3, 24, "needs 'b', which is no task"},
    {ONE("{kind: k, needs: [[b]]}"), 3, 24, "a need must be"},
    {ONE("{kind: k, needs: [{when: failed}]}"), 3, 24, "'task' is missing"},
    {ONE("{kind: k, needs: [a]}"), 3, 3, "in a circle: a → a"},
    {ONE("{kind: k, needs_mode: some}"), 3, 28, "needs_mode must be all"},
    {ONE("{kind: k, needs_mode: [any]}"), 3, 28, "needs_mode must be all"},
    {ONE("{kind: k, needs_mode: any}"), 3, 28, "there are 0"},
    {ONE("{kind: k}\n  b: {kind: k, needs: [a], needs_mode: {at_least: 2}}"), 4,
	40, "wants 2 needs met, but there are 1"},
    {ONE("{kind: k}\n  b: {kind: k, needs: [a], needs_mode: {at_least: 0}}"), 4,
	40, "needs_mode must be all"},
    {ONE("{kind: k}\n  b: {kind: k, needs: [a], needs_mode: {at_leats: 1}}"), 4,
	41, "did you mean 'at_least'?"},
    {ONE("{kind: k}\n  b: {kind: k, needs: [a, a]}"), 4, 23, "needs 'a' twice"},
    {ONE("{kind: k}\n  b: {kind: k, needs: [{task: a, when: ok}]}"), 4, 40,
	"succeeded, finished or failed"},
    {ONE("{kind: k}\n  b: {kind: k, needs: [{task: a, whem: ok}]}"), 4, 34,
	"did you mean 'when'?"},
    {ONE("{kind: k}\n  a: {kind: k}"), 4, 3,
	"duplicate key 'a', first on "
	"line 3"},
    {ONE("{kind: k}\n  compile: {kind: k, needs: [a]}\n"
	 "  b: {kind: k, needs: [comple]}"),
	5, 24, "did you mean 'compile'?"},
    {ONE("{kind: k, needs: [c]}\n  b: {kind: k, needs: [a]}\n"
	 "  c: {kind: k, needs: [b]}"),
	3, 3, "in a circle: a → c → b → a"},
    {ONE("{kind: &x k}"), 3, 13, "anchors"},
    {ONE("{kind: k"), 4, 1, "did not find expected"},
    {"flow: x\ntasks:\n\ta: {kind: k}\n", 3, 1, "cannot start any token"},
};

START_TEST(test_H4_wrong)
{
	expect_error(
	    wrong[_i].yaml, wrong[_i].line, wrong[_i].column, wrong[_i].words);
}
END_TEST

START_TEST(test_all_errors_at_once)
{
	ck_assert_ptr_null(parse("flow: x\nfoo: 1\ntasks:\n"
				 "  a: {kind: k, needs: [nobody]}\n"
				 "  b: {}\n"));
	ck_assert_uint_eq(errors.count, 3);
	ck_assert_str_eq(errors.carets[0], "foo: 1\n^");
	flow_errors_free(&errors);
}
END_TEST

START_TEST(test_errors_are_bounded)
{
	struct text text = TEXT_EMPTY;

	text_add_string(&text, "flow: x\ntasks:\n");
	for (int i = 0; i < 100000; i++)
		text_addf(&text, "  t%d: {kind: k, needs: [u%d]}\n", i, i);
	ck_assert_ptr_null(parse(text_string(&text)));
	ck_assert_uint_eq(errors.count, FLOW_ERRORS);
	ck_assert_uint_eq(errors.dropped, 100000 - FLOW_ERRORS);
	flow_errors_free(&errors);
	text_free(&text);
}
END_TEST

/* A chain, where each task also needs the first one. */
static void
write_chain(struct text *text, int count, bool closed)
{
	text_add_string(text, "flow: chain\ntasks:\n");
	for (int i = 0; i < count; i++) {
		text_addf(text, "  t%06d: {kind: k, payload: {i: %d}", i, i);
		if (i > 1)
			text_addf(text, ", needs: [t%06d, t000000]}\n", i - 1);
		else if (i == 1)
			text_add_string(text, ", needs: [t000000]}\n");
		else if (closed)
			text_addf(text, ", needs: [t%06d]}\n", count - 1);
		else
			text_add_string(text, "}\n");
	}
}

START_TEST(test_100000_tasks)
{
	struct text text = TEXT_EMPTY, json = TEXT_EMPTY;
	struct flow *flow;
	struct tree tree;

	write_chain(&text, 100000, false);
	flow = parse(text_string(&text));
	ck_assert_ptr_nonnull(flow);
	ck_assert_uint_eq(flow->count, 100000);
	ck_assert_str_eq(flow->tasks[99999].name, "t099999");
	ck_assert_uint_eq(flow->tasks[99999].needs[0].task, 99998);
	flow_json(flow, &json);
	ck_assert_uint_gt(json.length, 5000000);
	tree_lay_out(&tree, flow);
	ck_assert_uint_eq(tree.count, 100000);
	tree_free(&tree);
	flow_free(flow);
	text_free(&json);
	text_free(&text);
}
END_TEST

START_TEST(test_cycle_of_100000)
{
	struct text text = TEXT_EMPTY;

	write_chain(&text, 100000, true);
	ck_assert_ptr_null(parse(text_string(&text)));
	ck_assert_uint_eq(errors.count, 1);
	ck_assert_ptr_nonnull(strstr(errors.items[0].text, "in a circle"));
	flow_errors_free(&errors);
	text_free(&text);
}
END_TEST

START_TEST(test_missing_file)
{
	ck_assert_ptr_null(flow_read("/nowhere/f.yaml", &errors));
	ck_assert_str_eq(errors.items[0].file, "/nowhere/f.yaml");
	ck_assert_ptr_nonnull(strstr(errors.items[0].text, "No such file"));
	flow_errors_free(&errors);
}
END_TEST

static void
expect_tree(const struct flow *flow, const char *const *shown, size_t count)
{
	struct tree tree;

	tree_lay_out(&tree, flow);
	ck_assert_uint_eq(tree.count, count);
	for (size_t row = 0; row < tree.count; row++) {
		struct text line = TEXT_EMPTY;

		tree_add_branches(&line, &tree, row);
		text_add_string(&line, flow->tasks[tree.rows[row].task].name);
		ck_assert_str_eq(text_string(&line), shown[row]);
		text_free(&line);
	}
	tree_free(&tree);
}

/* A fan-in stands beside its fan, under what all of it comes from. */
START_TEST(test_H4_tree)
{
	static const char *const shown[] = {
	    "start", "├─ c1", "├─ c2", "└─ link", "   └─ run", "other"};
	struct flow *flow = parse("flow: x\ntasks:\n"
				  "  run: {kind: k, needs: [link]}\n"
				  "  start: {kind: k}\n"
				  "  other: {kind: k}\n"
				  "  c1: {kind: k, needs: [start]}\n"
				  "  c2: {kind: k, needs: [start]}\n"
				  "  link: {kind: k, needs: [c1, c2]}\n");

	ck_assert_ptr_nonnull(flow);
	expect_tree(flow, shown, 6);
	flow_free(flow);
}
END_TEST

/* What is in a flow in a flow stands below it, under its path. */
START_TEST(test_H4_tree_of_nested)
{
	static const char *const shown[] = {
	    "a", "└─ b", "   ├─ d", "   └─ b/a", "      └─ b/c"};
	struct flow *flow = parse(nested), *flat;

	ck_assert_ptr_nonnull(flow);
	ck_assert_uint_eq(flow_count_all(flow), 5);
	flat = flow_flatten(flow);
	expect_tree(flat, shown, 5);
	flow_free(flat);
	flow_free(flow);
}
END_TEST

static Suite *
flow_suite(void)
{
	Suite *suite = suite_create("flow");
	TCase *tests = unit_case(suite, "flow");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, test_minimal);
	tcase_add_test(tests, test_every_key);
	tcase_add_loop_test(tests, test_H4_values, 0,
	    (int)(sizeof(values) / sizeof(values[0])));
	tcase_add_loop_test(
	    tests, test_H4_wrong, 0, (int)(sizeof(wrong) / sizeof(wrong[0])));
	tcase_add_test(tests, test_all_errors_at_once);
	tcase_add_test(tests, test_errors_are_bounded);
	tcase_add_test(tests, test_100000_tasks);
	tcase_add_test(tests, test_cycle_of_100000);
	tcase_add_test(tests, test_missing_file);
	tcase_add_test(tests, test_H4_tree);
	tcase_add_test(tests, test_A5_maps);
	tcase_add_test(tests, test_A4_nested);
	tcase_add_test(tests, test_H4_tree_of_nested);
	return suite;
}

int
main(void)
{
	return unit_run(flow_suite());
}
