#include "common/yaml_tree.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/unit.h"

/* What was reported, as "line:column text" lines. */
static struct text reported;

static void
report(
    const struct yaml_source *source, const struct error *error, void *unused)
{
	(void)source;
	(void)unused;
	text_addf(
	    &reported, "%d:%d %s\n", error->line, error->column, error->text);
}

static struct yaml_source *source;
static struct yaml_node *tree;

static void
read_bytes(const char *text, size_t size)
{
	struct yaml_reporter reporter = {report, NULL};

	source = yaml_source_new("t.yaml", text, size);
	tree = yaml_tree_read(source, &reporter);
}

static void
read_text(const char *text)
{
	read_bytes(text, strlen(text));
}

static void
clean(void)
{
	text_free(&reported);
	tree = yaml_tree_free(tree);
	source = yaml_source_free(source);
}

static void
check_reported(const char *wanted)
{
	ck_assert_str_eq(text_string(&reported), wanted);
}

START_TEST(maps_and_lists_know_their_places)
{
	const struct yaml_node *map, *list;

	read_text("b: {y: 1, x: 'two'}\na:\n  - p\n  - q\n");
	check_reported("");
	ck_assert_int_eq(tree->shape, YAML_MAP);
	ck_assert_uint_eq(tree->count, 2);
	ck_assert_str_eq(tree->items[0]->key, "a");
	map = yaml_member(tree, "b");
	ck_assert_int_eq(map->key_line, 1);
	ck_assert_int_eq(map->key_column, 1);
	ck_assert_int_eq(map->column, 4);
	ck_assert(yaml_member(map, "x")->quoted);
	ck_assert(!yaml_member(map, "y")->quoted);
	ck_assert_str_eq(yaml_member(map, "x")->value, "two");
	list = yaml_member(tree, "a");
	ck_assert_int_eq(list->shape, YAML_LIST);
	ck_assert_str_eq(list->items[1]->value, "q");
	ck_assert_int_eq(list->items[1]->line, 4);
	ck_assert_int_eq(list->items[1]->column, 5);
	ck_assert_ptr_null(yaml_member(tree, "c"));
}
END_TEST

START_TEST(empty_files_are_empty_maps)
{
	read_text("# nothing\n");
	check_reported("");
	ck_assert_int_eq(tree->shape, YAML_MAP);
	ck_assert_uint_eq(tree->count, 0);
}
END_TEST

START_TEST(a_key_alone_is_empty)
{
	read_text("a:\nb: ''\nc: ~\n");
	ck_assert(yaml_is_empty(yaml_member(tree, "a")));
	ck_assert(!yaml_is_empty(yaml_member(tree, "b")));
	ck_assert(!yaml_is_empty(yaml_member(tree, "c")));
}
END_TEST

START_TEST(i1_duplicate_keys_are_refused_with_both_lines)
{
	read_text("a: 1\nb: 2\n'a': 3\na: 4\nc: {x: 1, x: 2}\n");
	check_reported("5:11 duplicate key 'x', first on line 5\n"
		       "3:1 duplicate key 'a', first on line 1\n"
		       "4:1 duplicate key 'a', first on line 1\n");
	ck_assert_str_eq(yaml_member(tree, "a")->value, "1");
}
END_TEST

START_TEST(i1_anchors_aliases_and_tags_are_refused)
{
	read_text("a: &x [1]\nb: *x\nc: !!int 3\n<<: *x\n");
	check_reported("1:4 anchors (&x) are not allowed\n"
		       "2:4 aliases (*x) are not allowed\n"
		       "3:4 tags (tag:yaml.org,2002:int) are not allowed\n"
		       "4:5 aliases (*x) are not allowed\n");
	ck_assert_int_eq(yaml_member(tree, "b")->shape, YAML_BROKEN);
}
END_TEST

START_TEST(i1_alias_bombs_stay_small)
{
	read_text("a: &a [x, x, x, x, x, x, x, x, x]\n"
		  "b: &b [*a, *a, *a, *a, *a, *a, *a, *a]\n"
		  "c: &c [*b, *b, *b, *b, *b, *b, *b, *b]\n");
	ck_assert_ptr_nonnull(
	    strstr(text_string(&reported), "3:8 aliases (*b) are not allowed"));
	ck_assert_uint_eq(yaml_member(tree, "c")->count, 8);
}
END_TEST

START_TEST(i1_a_second_document_is_refused)
{
	read_text("---\na: 1\n---\nb: 2\n");
	check_reported("3:1 a second document is not allowed\n");
	ck_assert_ptr_null(tree);
}
END_TEST

START_TEST(i1_directives_are_refused)
{
	read_text("%YAML 1.1\n---\na: 1\n");
	check_reported("1:1 directives (%YAML, %TAG) are not allowed\n");
}
END_TEST

START_TEST(i1_nesting_has_a_limit)
{
	char text[256];
	int depth = YAML_DEPTH_LIMIT;

	memset(text, '[', 64);
	memset(text + depth, ']', 64);
	text[2 * depth] = '\0';
	read_text(text);
	check_reported("");
	clean();
	memset(text, '[', 64);
	memset(text + depth + 1, ']', 64);
	text[2 * depth + 2] = '\0';
	read_text(text);
	check_reported("1:33 nested more than 32 levels deep\n");
	ck_assert_ptr_null(tree);
}
END_TEST

START_TEST(i1_absurd_nesting_ends_at_once)
{
	size_t size = YAML_SIZE_LIMIT;
	char *text = malloc(size);

	ck_assert_ptr_nonnull(text);
	memset(text, '[', size);
	read_bytes(text, size);
	check_reported("1:33 nested more than 32 levels deep\n");
	clean();
	for (size_t i = 0; i < size; i++)
		text[i] = "- "[i % 2];
	read_bytes(text, size);
	check_reported("1:65 nested more than 32 levels deep\n");
	free(text);
}
END_TEST

START_TEST(syntax_errors_have_places)
{
	read_text("a: 1\nb: [1, 2\nc: 3\n");
	check_reported("3:2 did not find expected ',' or ']', while parsing a "
		       "flow sequence that begins on line 2\n");
	clean();
	read_text("a: 1\n\tb: 2\n");
	ck_assert_ptr_null(tree);
	ck_assert_int_eq(strncmp(text_string(&reported), "2:1 ", 4), 0);
}
END_TEST

START_TEST(bytes_that_are_no_text_have_places)
{
	read_text("a: 1\nb: \xff\n");
	ck_assert_ptr_null(tree);
	ck_assert_int_eq(strncmp(text_string(&reported), "2:4 ", 4), 0);
	clean();
	read_bytes("a: \0\n", 5);
	ck_assert_ptr_null(tree);
	clean();
	read_text("a: \"x\\0y\"\nb: 1\n");
	check_reported("1:4 a NUL character is not allowed\n");
	ck_assert_int_eq(yaml_member(tree, "a")->shape, YAML_BROKEN);
}
END_TEST

START_TEST(keys_are_words)
{
	read_text("[a]: 1\n");
	check_reported("1:1 a key must be a plain word\n");
	clean();
	read_text("a: &k x\n*k : 1\n");
	ck_assert_ptr_null(tree);
}
END_TEST

START_TEST(one_line_of_everything)
{
	read_text("just words");
	ck_assert_int_eq(tree->shape, YAML_SCALAR);
	ck_assert_str_eq(tree->value, "just words");
}
END_TEST

static void
check_caret(int line, int column, const char *wanted)
{
	struct text caret = TEXT_EMPTY;

	yaml_caret(source, line, column, &caret);
	ck_assert_str_eq(text_string(&caret), wanted);
	text_free(&caret);
}

START_TEST(carets_stand_under_their_place)
{
	read_text("a: 1\nb\t: \xc3\xa4 \x1b x\n");
	check_caret(1, 4, "a: 1\n   ^");
	check_caret(2, 9, "b : \xc3\xa4 ? x\n        ^");
	check_caret(3, 1, "\n^");
	check_caret(4, 1, "");
	check_caret(0, 0, "");
}
END_TEST

START_TEST(carets_of_long_lines)
{
	char text[401];
	struct text caret = TEXT_EMPTY;

	memset(text, 'x', 400);
	text[200] = '!';
	text[400] = '\0';
	read_text(text);
	yaml_caret(source, 1, 201, &caret);
	ck_assert_uint_lt(caret.length, 160);
	ck_assert_int_eq(strchr(caret.data, '^') - strchr(caret.data, '\n') - 1,
	    strchr(caret.data, '!') - caret.data);
	text_free(&caret);
}
END_TEST

START_TEST(files_that_cannot_be_read)
{
	struct error error;
	char buffer[512];

	ck_assert_ptr_null(yaml_source_read("/nonexistent/x.yaml", &error));
	ck_assert_str_eq(error_format(&error, buffer, sizeof(buffer)),
	    "/nonexistent/x.yaml: cannot be read: No such file or directory");
	ck_assert_ptr_null(yaml_source_read("/tmp", &error));
	ck_assert_ptr_null(yaml_source_read("/dev/null", &error));
	ck_assert_str_eq(error.text, "not a regular file");
}
END_TEST

START_TEST(i1_files_have_a_limit)
{
	FILE *file = fopen("test_yaml.big", "w");
	struct error error;

	ck_assert_int_eq(ftruncate(fileno(file), YAML_SIZE_LIMIT), 0);
	source = yaml_source_read("test_yaml.big", &error);
	ck_assert_ptr_nonnull(source);
	ck_assert_uint_eq(source->size, YAML_SIZE_LIMIT);
	ck_assert_int_eq(ftruncate(fileno(file), YAML_SIZE_LIMIT + 1), 0);
	ck_assert_ptr_null(yaml_source_read("test_yaml.big", &error));
	ck_assert_str_eq(error.text, "larger than 1 MB");
	fclose(file);
	unlink("test_yaml.big");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("yaml");
	TCase *tests = unit_case(suite, "tree");

	tcase_add_checked_fixture(tests, NULL, clean);
	tcase_add_test(tests, maps_and_lists_know_their_places);
	tcase_add_test(tests, empty_files_are_empty_maps);
	tcase_add_test(tests, a_key_alone_is_empty);
	tcase_add_test(tests, one_line_of_everything);
	tests = unit_case(suite, "refused");
	tcase_add_checked_fixture(tests, NULL, clean);
	tcase_add_test(tests, i1_duplicate_keys_are_refused_with_both_lines);
	tcase_add_test(tests, i1_anchors_aliases_and_tags_are_refused);
	tcase_add_test(tests, i1_alias_bombs_stay_small);
	tcase_add_test(tests, i1_a_second_document_is_refused);
	tcase_add_test(tests, i1_directives_are_refused);
	tcase_add_test(tests, i1_nesting_has_a_limit);
	tcase_add_test(tests, i1_absurd_nesting_ends_at_once);
	tcase_add_test(tests, i1_files_have_a_limit);
	tcase_add_test(tests, syntax_errors_have_places);
	tcase_add_test(tests, bytes_that_are_no_text_have_places);
	tcase_add_test(tests, keys_are_words);
	tcase_add_test(tests, files_that_cannot_be_read);
	tests = unit_case(suite, "carets");
	tcase_add_checked_fixture(tests, NULL, clean);
	tcase_add_test(tests, carets_stand_under_their_place);
	tcase_add_test(tests, carets_of_long_lines);
	return unit_run(suite);
}
