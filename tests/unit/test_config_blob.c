#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/config_check.h"
#include "tests/unit/config_fixture.h"
#include "tests/unit/unit.h"

struct pair {
	const char *text, *wanted;
};

static const char rich[] =
    "database: postgresql://u:p@h1,h2/db\nredis: unix:///r\nworkers: 7\n"
    "admin_group: adm\nprepared_statements: false\ncrash_limit: 9\n"
    "defaults: {backoff: {factor: 1.5}}\n"
    "queues: {b: {concurrency: 3}, a: {retention: 0s}}\n"
    "handlers:\n"
    "  x: {exec: [/bin/a, '', \"b c\\n\"], environment: {V: 'w: x', A_TOKEN: "
    "geheim},\n"
    "    working_directory: /tmp}\n"
    "  y: {sql: a.b, role: 'my role', timeout: 1ms, concurrency: 5}\n"
    "  z: {noop: true}\n";

static void
check_same(const struct config *a, const struct config *b)
{
	const char *key;

	ck_assert_int_eq(config_compare(a, b, &key), CONFIG_SAME);
	ck_assert_ptr_null(key);
}

START_TEST(blobs_hold_everything)
{
	struct text blob = TEXT_EMPTY;
	struct config *copy;
	struct error error;

	fixture_load(rich);
	config_encode(fixture_config, &blob);
	copy = config_decode(blob.data, blob.length, &error);
	ck_assert_ptr_nonnull(copy);
	check_same(fixture_config, copy);
	ck_assert_int_eq(config_handler(copy, "x")->type, HANDLER_EXEC);
	ck_assert_int_eq(config_handler(copy, "y")->type, HANDLER_SQL);
	ck_assert_int_eq(config_handler(copy, "z")->type, HANDLER_NOOP);
	ck_assert_str_eq(config_handler(copy, "x")->argv[2], "b c\n");
	config_free(copy);
	text_free(&blob);
}
END_TEST

/* What the header says follows: too much, or as much as there is. */
START_TEST(cut_blobs_are_refused)
{
	struct text blob = TEXT_EMPTY;
	struct error error;
	uint64_t rest;

	fixture_load(rich);
	config_encode(fixture_config, &blob);
	for (size_t size = 0; size < blob.length; size++) {
		char *cut = malloc(size + 1); /* so that ASan sees its end */

		memcpy(cut, blob.data, size);
		ck_assert_ptr_null(config_decode(cut, size, &error));
		rest = size - 24;
		if (size >= 24)
			memcpy(cut + 16, &rest, sizeof(rest));
		ck_assert_ptr_null(config_decode(cut, size, &error));
		free(cut);
	}
	text_free(&blob);
}
END_TEST

START_TEST(blobs_of_another_build_are_refused)
{
	struct text blob = TEXT_EMPTY;
	struct error error;

	fixture_load(rich);
	config_encode(fixture_config, &blob);
	blob.data[8] ^= 1; /* the fingerprint of the table of keys */
	ck_assert_ptr_null(config_decode(blob.data, blob.length, &error));
	ck_assert_str_eq(
	    error.text, "not a configuration blob of this version of musterd");
	text_free(&blob);
}
END_TEST

/* Any byte changed: refused or read, never a crash. */
START_TEST(damaged_blobs_do_no_harm)
{
	struct text blob = TEXT_EMPTY;
	struct error error;

	fixture_load(rich);
	config_encode(fixture_config, &blob);
	for (size_t i = 0; i < blob.length; i++) {
		for (int bit = 0; bit < 8; bit++) {
			blob.data[i] ^= (char)(1 << bit);
			config_free(
			    config_decode(blob.data, blob.length, &error));
			blob.data[i] ^= (char)(1 << bit);
		}
	}
	text_free(&blob);
}
END_TEST

START_TEST(i1_printed_yaml_reads_as_the_same)
{
	struct text first = TEXT_EMPTY, second = TEXT_EMPTY;

	fixture_load(rich);
	config_print(fixture_config, &first);
	config_free(fixture_config);
	fixture_load(text_string(&first));
	config_print(fixture_config, &second);
	ck_assert_str_eq(text_string(&first), text_string(&second));
	ck_assert_ptr_nonnull(strstr(first.data, "u:***@h1,h2/db"));
	ck_assert_ptr_null(strstr(first.data, "geheim"));
	ck_assert_str_eq(config_handler(fixture_config, "x")->argv[2], "b c\n");
	ck_assert_str_eq(
	    config_handler(fixture_config, "x")->environment[1], "V=w: x");
	text_free(&first);
	text_free(&second);
}
END_TEST

static const struct pair hidden[] = {
    {"host=a password=x user=b", "host=a password=*** user=b"},
    {"password='a \\' b' x=1", "password=*** x=1"},
    {"password = x", "password = ***"},
    {"sslpassword=x sslkey=y", "sslpassword=*** sslkey=y"},
    {"password=a\\ b c=d", "password=*** c=d"},
    {"postgres://u:p@h/db", "postgres://u:***@h/db"},
    {"postgresql://u:p@q/r@h:5/db?a=b", "postgresql://u:***@h:5/db?a=b"},
    {"postgres://u@h:5/db", "postgres://u@h:5/db"},
    {"postgres://h:5/db?password=x&user=y",
	"postgres://h:5/db?password=***&user=y"},
    {"postgres://h:5/db?user=y&password=a@b", "postgres://h:***"},
    {"redis://:p@h:1/2", "redis://:***@h:1/2"},
    {"host=a dbname=b", "host=a dbname=b"},
    {"", ""},
    {"passfile=/x", "passfile=/x"},
    {"password=", "password=***"},
    {"password='open", "password=***"},
};

START_TEST(passwords_are_hidden)
{
	struct text text = TEXT_EMPTY;

	config_hide_password(hidden[_i].text, &text);
	ck_assert_str_eq(text_string(&text), hidden[_i].wanted);
	text_free(&text);
}
END_TEST

struct change {
	const char *text;
	enum config_change change;
	const char *key;
};

static const struct change changes[] = {
    {"workers: 2", CONFIG_NEW_WORKERS, "workers"},
    {"log_level: debug", CONFIG_IN_PLACE, "log_level"},
    {"queues: {b: }", CONFIG_IN_PLACE, "queues"},
    {"queues: {default: {concurrency: 1}}", CONFIG_IN_PLACE, "queues"},
    {"handlers: {a: {exec: [/b]}}", CONFIG_IN_PLACE, "handlers"},
    {"handlers: {a: {exec: [/a, b]}}", CONFIG_IN_PLACE, "handlers"},
    {"handlers: {a: {exec: [/a], environment: {A: b}}}", CONFIG_IN_PLACE,
	"handlers"},
    {"defaults: {backoff: {factor: 3}}", CONFIG_IN_PLACE, "defaults"},
    {"redis: unix:///x", CONFIG_NEW_WORKERS, "redis"},
    {"cluster: other", CONFIG_NEW_WORKERS, "cluster"},
    {"prepared_statements: false\nlog_level: debug", CONFIG_NEW_WORKERS,
	"prepared_statements"},
    {"log_format: json\ncluster: other", CONFIG_RESTART, "log_format"},
    {"runtime_dir: /x", CONFIG_RESTART, "runtime_dir"},
    {"runtime_dir: /x\nadmin_group: adm", CONFIG_RESTART, "runtime_dir"},
};

START_TEST(i1_changes_say_what_they_need)
{
	static const char base[] = "database: dbname=x\n";
	struct text text = TEXT_EMPTY;
	struct config *old;
	const char *key;

	fixture_load(strstr(changes[_i].text, "workers")
			 ? "database: dbname=x\nworkers: 1\n"
		     : strstr(changes[_i].text, "handlers")
			 ? "database: dbname=x\nhandlers: {a: {exec: [/a]}}\n"
			 : base);
	old = fixture_config;
	text_addf(&text, "%s%s\n", base, changes[_i].text);
	fixture_load(text_string(&text));
	ck_assert_int_eq(
	    config_compare(old, fixture_config, &key), changes[_i].change);
	ck_assert_str_eq(key, changes[_i].key);
	config_free(old);
	text_free(&text);
}
END_TEST

START_TEST(i1_answers_bring_the_configuration)
{
	int fd = memfd_create("answer", 0);
	struct text blob = TEXT_EMPTY;
	struct config *answer;
	struct error error;

	fixture_load(rich);
	ck_assert_int_eq(config_check_main(fixture_file, fd), 0);
	answer = config_answer_read(fd, &blob, &fixture_errors);
	ck_assert_ptr_nonnull(answer);
	check_same(fixture_config, answer);
	config_free(answer);
	answer = config_decode(blob.data, blob.length, &error);
	check_same(fixture_config, answer);
	config_free(answer);
	text_free(&blob);
	close(fd);
}
END_TEST

START_TEST(i1_answers_bring_all_errors)
{
	int fd = memfd_create("answer", 0);
	struct text text = TEXT_EMPTY;

	fixture_write("musterd.yaml", "database: dbname=x\na: 1\nb: 2\n");
	ck_assert_int_eq(config_check_main(fixture_file, fd), 78);
	ck_assert_ptr_null(config_answer_read(fd, NULL, &fixture_errors));
	ck_assert_uint_eq(fixture_errors.count, 2);
	ck_assert_int_eq(fixture_errors.items[1].line, 3);
	ck_assert_str_eq(fixture_errors.items[1].file, fixture_file);
	ck_assert_str_eq(fixture_errors.items[1].text, "unknown key 'b'");
	ck_assert_str_eq(fixture_errors.carets[1], "b: 2\n^");
	config_errors_print(&fixture_errors, &text);
	ck_assert_ptr_nonnull(
	    strstr(text.data, "musterd.yaml:3:1: unknown key 'b'\nb: 2\n^\n"));
	text_free(&text);
	close(fd);
}
END_TEST

START_TEST(i1_an_answer_cut_short_is_an_error)
{
	int fd = memfd_create("answer", 0);
	off_t size;

	ck_assert_ptr_null(config_answer_read(fd, NULL, &fixture_errors));
	ck_assert_uint_eq(fixture_errors.count, 1);
	config_errors_free(&fixture_errors);
	fixture_write("musterd.yaml", rich);
	ck_assert_int_eq(config_check_main(fixture_file, fd), 0);
	size = lseek(fd, 0, SEEK_END);
	ck_assert_int_eq(ftruncate(fd, size - 1), 0);
	ck_assert_ptr_null(config_answer_read(fd, NULL, &fixture_errors));
	ck_assert_str_eq(fixture_errors.items[0].text,
	    "the process that checks the configuration ended without an "
	    "answer");
	close(fd);
}
END_TEST

#define COUNT(list) (int)(sizeof(list) / sizeof((list)[0]))

int
main(void)
{
	Suite *suite = suite_create("config_blob");
	TCase *tests = unit_case(suite, "blob");

	tcase_add_checked_fixture(tests, fixture_setup, fixture_teardown);
	tcase_add_test(tests, blobs_hold_everything);
	tcase_add_test(tests, cut_blobs_are_refused);
	tcase_add_test(tests, blobs_of_another_build_are_refused);
	tcase_add_test(tests, damaged_blobs_do_no_harm);
	tests = unit_case(suite, "show");
	tcase_add_checked_fixture(tests, fixture_setup, fixture_teardown);
	tcase_add_test(tests, i1_printed_yaml_reads_as_the_same);
	tcase_add_loop_test(tests, passwords_are_hidden, 0, COUNT(hidden));
	tests = unit_case(suite, "reload");
	tcase_add_checked_fixture(tests, fixture_setup, fixture_teardown);
	tcase_add_loop_test(
	    tests, i1_changes_say_what_they_need, 0, COUNT(changes));
	tcase_add_test(tests, i1_answers_bring_the_configuration);
	tcase_add_test(tests, i1_answers_bring_all_errors);
	tcase_add_test(tests, i1_an_answer_cut_short_is_an_error);
	return unit_run(suite);
}
