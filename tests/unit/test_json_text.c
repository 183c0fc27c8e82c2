#include "common/json_text.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "common/text.h"
#include "common/yaml_tree.h"
#include "tests/unit/unit.h"

/* As strlen(json) bytes; `why` is left as it was when it is no JSON. */
static enum json_text
judge(const char *json, const char **why)
{
	return json_text_judge(json, strlen(json), why);
}

static bool
is_json(const char *bytes, size_t length)
{
	const char *why;

	return json_text_judge(bytes, length, &why) != JSON_TEXT_NONE;
}

static const char *const valid[] = {"null", "true", "false", "0", "-0", "1",
    "-12.50", "1e400", "12345678901234567890", "0.10", "1E+2", "1e-2", "\"\"",
    "\"a\\ud800\\udc00\\n\\\"\"", "\"\xc3\xa4\"", "{}", "[]", " [ ] ",
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
	const char *why = "";

	ck_assert_int_eq(judge(valid[_i], &why), JSON_TEXT_FIT);
	ck_assert_ptr_null(why);
}
END_TEST

START_TEST(invalid_json)
{
	ck_assert_msg(
	    !is_json(invalid[_i], strlen(invalid[_i])), "%s", invalid[_i]);
}
END_TEST

/* Of the source tree; make check says where it is. */
static const char *
corpus_folder(void)
{
	static char folder[4096];
	const char *top = getenv("srcdir");

	snprintf(folder, sizeof(folder), "%s/tests/corpus/json",
	    top == NULL ? "." : top);
	return folder;
}

static void
check_corpus_file(const char *name)
{
	static const char *const verdicts[] = {
	    [JSON_TEXT_NONE] = "none",
	    [JSON_TEXT_UNFIT] = "unfit",
	    [JSON_TEXT_FIT] = "fit",
	};
	struct text path = TEXT_EMPTY;
	struct yaml_source *source;
	const char *why = NULL, *verdict;
	struct error error;

	text_addf(&path, "%s/%s", corpus_folder(), name);
	source = yaml_source_read(text_string(&path), &error);
	ck_assert_msg(source != NULL, "%s: %s", error.file, error.text);
	verdict = verdicts[json_text_judge(source->text, source->size, &why)];
	ck_assert_msg(strncmp(name, verdict, strlen(verdict)) == 0, "%s: %s %s",
	    name, verdict, why != NULL ? why : "");
	yaml_source_free(source);
	text_free(&path);
}

/* The names say the verdict; a test of the SQL asks PostgreSQL the same. */
START_TEST(g1_the_corpus_is_judged)
{
	DIR *folder = opendir(corpus_folder());
	const struct dirent *entry;
	int count = 0;

	ck_assert_ptr_nonnull(folder);
	while ((entry = readdir(folder)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		check_corpus_file(entry->d_name);
		count++;
	}
	closedir(folder);
	ck_assert_int_ge(count, 20);
}
END_TEST

/* Digits before and after the point, as many as numeric has and one more. */
START_TEST(g1_long_numbers)
{
	struct text number = TEXT_EMPTY;
	const char *why;

	for (int i = 0; i < 131072; i++)
		text_add_char(&number, '9');
	text_add_char(&number, '.');
	for (int i = 0; i < 16383; i++)
		text_add_char(&number, '0');
	ck_assert_int_eq(judge(text_string(&number), &why), JSON_TEXT_FIT);
	text_add_char(&number, '0');
	ck_assert_int_eq(judge(text_string(&number), &why), JSON_TEXT_UNFIT);
	text_add_string(&number, "e1");
	ck_assert_int_eq(judge(text_string(&number), &why), JSON_TEXT_UNFIT);
	number.data[0] = '0'; /* no JSON: a digit follows */
	ck_assert_int_eq(judge(text_string(&number), &why), JSON_TEXT_NONE);
	text_free(&number);
}
END_TEST

START_TEST(every_prefix_of_an_object_is_invalid)
{
	static const char json[] = "{\"a\": [1, -2.5e3, \"\\u00e4\", null]}";

	for (size_t length = 0; length < strlen(json); length++)
		ck_assert_msg(!is_json(json, length), "%zu", length);
	ck_assert(is_json(json, strlen(json)));
	ck_assert(!is_json("1\0", 2));
	ck_assert(!is_json("\"\\\0\"", 4));
}
END_TEST

START_TEST(absurd_nesting_needs_no_stack)
{
	enum { DEPTH = 1 << 20 };
	char *json = malloc(2 * DEPTH);

	memset(json, '[', DEPTH);
	memset(json + DEPTH, ']', DEPTH);
	ck_assert(is_json(json, 2 * DEPTH));
	ck_assert(!is_json(json, 2 * DEPTH - 1));
	free(json);
}
END_TEST

/* Each bracket is closed by its own kind, however deep it stands. */
START_TEST(brackets_match_at_every_depth)
{
	enum { DEPTH = 80 };
	char json[2 * DEPTH];

	for (int i = 0; i < DEPTH; i++) {
		bool object = i == DEPTH - 1; /* `[[…{}…]]` */

		json[i] = object ? '{' : '[';
		json[2 * DEPTH - 1 - i] = object ? '}' : ']';
	}
	ck_assert(is_json(json, sizeof(json)));
	for (int i = 0; i < DEPTH; i++) {
		char *end = &json[2 * DEPTH - 1 - i], right = *end;

		*end = right == ']' ? '}' : ']';
		ck_assert(!is_json(json, sizeof(json)));
		*end = right;
		ck_assert(!is_json(json + i + 1, sizeof(json) - 1 - (size_t)i));
		if (i > 0)
			ck_assert(
			    is_json(json + i, sizeof(json) - 2 * (size_t)i));
	}
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
	tcase_add_test(tests, g1_the_corpus_is_judged);
	tcase_add_test(tests, g1_long_numbers);
	tcase_add_test(tests, every_prefix_of_an_object_is_invalid);
	tcase_add_test(tests, absurd_nesting_needs_no_stack);
	tcase_add_test(tests, brackets_match_at_every_depth);
	return unit_run(suite);
}
