/* The files that come with the program, and a corpus of wrong ones. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "common/config_table.h"
#include "common/yaml_tree.h"
#include "tests/unit/unit.h"

static const char scratch[] = "test_config_files.yaml";

/* Of the source tree; make check says where it is. */
static const char *
top_folder(void)
{
	const char *folder = getenv("srcdir");

	return folder == NULL ? "." : folder;
}

/* A file of it. */
static struct text
read_source(const char *name)
{
	struct text path = TEXT_EMPTY, text = TEXT_EMPTY;
	struct yaml_source *source;
	struct error error;

	text_addf(&path, "%s/%s", top_folder(), name);
	source = yaml_source_read(text_string(&path), &error);
	ck_assert_msg(source != NULL, "%s", text_string(&path));
	text_add(&text, source->text, source->size);
	yaml_source_free(source);
	text_free(&path);
	return text;
}

static struct config *
load(const char *text, size_t size)
{
	FILE *file = fopen(scratch, "w");
	struct config_errors errors;
	struct config *config;

	ck_assert_uint_eq(fwrite(text, 1, size, file), size);
	fclose(file);
	config = config_load(scratch, &errors);
	ck_assert(config != NULL || errors.count > 0);
	config_errors_free(&errors);
	return config;
}

static void
remove_scratch(void)
{
	remove(scratch);
}

/* In etc/musterd.yaml a # before anything but one blank hides a default. */
static struct text
uncommented(const char *at)
{
	struct text out = TEXT_EMPTY;

	while (*at != '\0') {
		size_t length = strcspn(at, "\n") + 1;
		bool setting = at[0] == '#' && at[1] != '\n' &&
			       (at[1] != ' ' || at[2] == ' ');

		text_add(&out, at + setting, length - setting);
		at += length;
	}
	return out;
}

static void
check_all_shown(const char *text)
{
	for (size_t i = 0; i < config_section_top.count; i++) {
		const struct config_key *key = &config_section_top.keys[i];
		struct text line = TEXT_EMPTY;

		text_addf(&line, "\n%s:", key->name);
		if (key->fallback != NULL)
			ck_assert_msg(strstr(text, text_string(&line)) != NULL,
			    "%s", key->name);
		text_free(&line);
	}
}

START_TEST(i1_the_default_file_shows_the_defaults)
{
	struct text shipped = read_source("etc/musterd.yaml");
	struct text open = uncommented(shipped.data);
	struct config *as_shipped, *as_shown;
	const char *key;

	check_all_shown(open.data);
	as_shipped = load(shipped.data, shipped.length);
	as_shown = load(open.data, open.length);
	ck_assert_msg(as_shipped != NULL && as_shown != NULL, "%s", open.data);
	ck_assert_msg(config_compare(as_shipped, as_shown, &key) == CONFIG_SAME,
	    "%s", key);
	config_free(as_shipped);
	config_free(as_shown);
	text_free(&shipped);
	text_free(&open);
}
END_TEST

START_TEST(i1_the_example_fragment_is_right)
{
	struct text text = TEXT_EMPTY;
	struct text example = read_source("etc/conf.d/reports.yaml.example");
	struct config *config;

	text_addf(&text, "database: dbname=x\n%s", example.data);
	config = load(text.data, text.length);
	ck_assert_ptr_nonnull(config);
	ck_assert_ptr_nonnull(config_handler(config, "report"));
	config_free(config);
	text_free(&example);
	text_free(&text);
}
END_TEST

static struct dirent **corpus;

static int
is_file(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int
find_corpus(void)
{
	struct text path = TEXT_EMPTY;
	int count;

	text_addf(&path, "%s/tests/corpus/config", top_folder());
	count = scandir(text_string(&path), &corpus, is_file, alphasort);
	text_free(&path);
	return count;
}

static struct text
read_corpus(int i)
{
	struct text name = TEXT_EMPTY, text;

	text_addf(&name, "tests/corpus/config/%s", corpus[i]->d_name);
	text = read_source(text_string(&name));
	text_free(&name);
	return text;
}

/* "right…" loads, everything else is refused with an error. */
START_TEST(i1_the_corpus_is_judged)
{
	struct text text = read_corpus(_i);
	struct config *config = load(text.data, text.length);

	ck_assert_msg(
	    (strncmp(corpus[_i]->d_name, "right", 5) == 0) == (config != NULL),
	    "%s", corpus[_i]->d_name);
	config_free(config);
	text_free(&text);
}
END_TEST

static void
ignore_report(
    const struct yaml_source *source, const struct error *error, void *unused)
{
	struct text caret = TEXT_EMPTY;

	(void)unused;
	yaml_caret(source, error->line, error->column, &caret);
	text_free(&caret);
}

static void
read_tree(const struct text *text)
{
	struct yaml_reporter reporter = {ignore_report, NULL};
	struct yaml_source *source =
	    yaml_source_new("corpus", text->data, text->length);

	yaml_tree_free(yaml_tree_read(source, &reporter));
	yaml_source_free(source);
}

/* Every byte in turn becomes each of these: whatever comes of it, nothing
 * crashes, leaks or hangs. */
START_TEST(damaged_yaml_does_no_harm)
{
	static const char bytes[] = "[]{}:#&*!|>'\"\n\t -,?%@~\\\xff\x80x";
	struct text text = read_corpus(_i);

	for (size_t at = 0; at < text.length; at++) {
		char byte = text.data[at];

		for (size_t j = 0; j < sizeof(bytes); j++) {
			text.data[at] = bytes[j];
			read_tree(&text);
		}
		text.data[at] = bytes[at % sizeof(bytes)];
		if (at % 4 == 0) /* slower: it reads a file */
			config_free(load(text.data, text.length));
		text.data[at] = byte;
	}
	text_free(&text);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("config_files");
	TCase *tests = unit_case(suite, "files");
	int count = find_corpus();

	tcase_add_unchecked_fixture(tests, NULL, remove_scratch);
	tcase_add_test(tests, i1_the_default_file_shows_the_defaults);
	tcase_add_test(tests, i1_the_example_fragment_is_right);
	tests = unit_case(suite, "corpus");
	tcase_set_timeout(tests, 60);
	tcase_add_unchecked_fixture(tests, NULL, remove_scratch);
	tcase_add_loop_test(
	    tests, i1_the_corpus_is_judged, 0, count > 0 ? count : 1);
	tcase_add_loop_test(tests, damaged_yaml_does_no_harm, 0, count);
	return unit_run(suite);
}
