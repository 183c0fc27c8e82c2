#include "common/log_parts.h"

#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/unit/unit.h"

static const struct log_context context = {
    .task = 42, .flow = 7, .attempt = 2, .kind = "resize", .queue = "default"};
static struct text text;

static void
clean(void)
{
	text_free(&text);
}

static struct log_record
record_of(const char *message, size_t length)
{
	return (struct log_record){
	    .wall_us = 1795242600123456,
	    .level = LOG_LEVEL_INFO,
	    .context = &context,
	    .role = "worker",
	    .worker = 2,
	    .message = message,
	    .length = length,
	};
}

START_TEST(text_lines)
{
	struct log_record record = record_of("hello\nyou\x1b[0m", 13);

	log_line_text(&record, &text);
	ck_assert_str_eq(text.data,
	    "2026-11-21T06:30:00.123Z info worker[2] hello\\nyou\\x1b[0m "
	    "task=42 flow=7 kind=resize queue=default attempt=2\n");
}
END_TEST

START_TEST(json_lines)
{
	struct log_record record = record_of("a \"b\"\n\xff", 7);
	json_t *json;

	record.kind_id = "0123";
	log_line_json(&record, &text);
	ck_assert_int_eq(text.data[text.length - 1], '\n');
	json = json_loadb(text.data, text.length, JSON_REJECT_DUPLICATES, NULL);
	ck_assert_ptr_nonnull(json);
	ck_assert_str_eq(json_string_value(json_object_get(json, "time")),
	    "2026-11-21T06:30:00.123Z");
	ck_assert_str_eq(json_string_value(json_object_get(json, "message")),
	    "a \"b\"\n\\xff");
	ck_assert_str_eq(
	    json_string_value(json_object_get(json, "task")), "42");
	ck_assert_int_eq(
	    json_integer_value(json_object_get(json, "worker")), 2);
	ck_assert_str_eq(
	    json_string_value(json_object_get(json, "message_id")), "0123");
	ck_assert_ptr_null(json_object_get(json, "trace_id"));
	json_decref(json);
}
END_TEST

#define FIELD(name, value)                                                     \
	{                                                                      \
		name, value, sizeof(name) - 1, sizeof(value) - 1               \
	}

static const struct log_field some[] = {FIELD("user-id", "7"),
    FIELD("task", "1\n2\x1b"), FIELD("priority", "\"0\"")};

START_TEST(fields_of_handlers_are_marked)
{
	struct log_context with = context;
	struct log_record record = record_of("words", 5);
	json_t *json;

	with.fields = some;
	with.field_count = 3;
	record.context = &with;
	log_line_text(&record, &text);
	ck_assert_str_eq(text.data,
	    "2026-11-21T06:30:00.123Z info worker[2] words "
	    "task=42 flow=7 kind=resize queue=default attempt=2 "
	    "HANDLER_USER_ID=7 HANDLER_TASK=1\\n2\\x1b "
	    "HANDLER_PRIORITY=\"0\"\n");
	text_clear(&text);
	log_line_json(&record, &text);
	json = json_loadb(text.data, text.length, JSON_REJECT_DUPLICATES, NULL);
	ck_assert_ptr_nonnull(json);
	ck_assert_str_eq(
	    json_string_value(json_object_get(json, "task")), "42");
	ck_assert_str_eq(
	    json_string_value(json_object_get(json, "HANDLER_TASK")),
	    "1\n2\\x1b");
	ck_assert_str_eq(
	    json_string_value(json_object_get(json, "HANDLER_PRIORITY")),
	    "\"0\"");
	json_decref(json);
}
END_TEST

/* However long its parts, a line has room for them. */
START_TEST(fields_of_handlers_are_bounded)
{
	static char message[LOG_LINE_LIMIT], value[LOG_LINE_LIMIT];
	struct log_field fields[2 * LOG_FIELDS];
	struct log_context with = context;
	struct log_record record = record_of(message, sizeof(message));
	static const char units[] = "x\"\n\x01\xff";

	with.fields = fields;
	with.field_count = 2 * LOG_FIELDS;
	record.context = &with;
	memset(message, '"', sizeof(message));
	for (size_t size = 1; size < sizeof(value); size *= 2) {
		for (size_t i = 0; i < with.field_count; i++) {
			memset(value, units[i % 5], sizeof(value));
			fields[i] = (struct log_field){.name = value,
			    .value = value,
			    .name_length = size,
			    .value_length = size};
		}
		text_clear(&text);
		log_line_text(&record, &text);
		ck_assert_uint_le(text.length, LOG_LINE_LIMIT);
		ck_assert_ptr_nonnull(strstr(text.data, " HANDLER_"));
		text_clear(&text);
		log_line_json(&record, &text);
		ck_assert_uint_le(text.length, LOG_LINE_LIMIT);
		ck_assert_ptr_nonnull(strstr(text.data, "\"HANDLER_"));
	}
}
END_TEST

/* Messages of nothing but `unit`, far too long. */
static void
check_cut(const char *unit)
{
	static char message[LOG_LINE_LIMIT];
	struct log_record record = record_of(message, sizeof(message));
	char name[5000];

	for (size_t i = 0; i < sizeof(message); i++)
		message[i] = unit[i % strlen(unit)];
	memcpy(name, message, sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	record.context = &(struct log_context){
	    .task = INT64_MIN, .kind = name, .queue = name, .trace_id = name};
	log_line_text(&record, &text);
	ck_assert_uint_le(text.length, LOG_LINE_LIMIT);
	ck_assert_uint_ge(text.length, 8000);
	ck_assert(utf8_is_valid(text.data, text.length));
	text_free(&text);
	log_line_json(&record, &text);
	ck_assert_uint_le(text.length, LOG_LINE_LIMIT);
	ck_assert_uint_ge(text.length, 8000);
	ck_assert_ptr_nonnull(strstr(text.data, "…\",\"task\""));
	text_free(&text);
	log_journal_fields(&record, &text);
	ck_assert_uint_le(text.length, LOG_LINE_LIMIT + 1024);
}

START_TEST(lines_are_cut)
{
	static const char *const units[] = {
	    "x", "\x1b", "\"", "\xff", "\xf0\x9f\x90\xb4"};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		check_cut(units[i]);
		text_free(&text);
	}
	check_cut("xxxxx\xf0\x9f\x90\xb4"); /* cut elsewhere in one */
}
END_TEST

START_TEST(i2_message_ids_are_fixed_and_distinct)
{
	ck_assert_ptr_null(log_kind_id(LOG_PLAIN));
	for (int i = LOG_PLAIN + 1; i < LOG_KINDS; i++) {
		const char *id = log_kind_id((enum log_kind)i);

		ck_assert_uint_eq(strspn(id, "0123456789abcdef"), 32);
		ck_assert_uint_eq(strlen(id), 32);
		for (int j = LOG_PLAIN + 1; j < i; j++)
			ck_assert_str_ne(id, log_kind_id((enum log_kind)j));
	}
	ck_assert_str_eq(
	    log_kind_id(LOG_STARTED), "725ab6c268307b02ea591936752d41b2");
}
END_TEST

START_TEST(levels_have_names)
{
	enum log_level level;

	for (int i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++) {
		ck_assert(
		    log_level_parse(log_level_name((enum log_level)i), &level));
		ck_assert_int_eq(level, i);
	}
	ck_assert(!log_level_parse("loud", &level));
	ck_assert(!log_level_parse("", &level));
}
END_TEST

/* Standard error as a pipe of one page, its other end here. */
static int
pipe_stderr(void)
{
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	ck_assert_int_ge(fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);
	ck_assert_int_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	close(ends[1]);
	unsetenv("JOURNAL_STREAM");
	return ends[0];
}

/* Reads until the writers are gone. */
static void
read_rest(int fd)
{
	char buffer[8192];
	ssize_t got;

	close(STDERR_FILENO);
	while ((got = read(fd, buffer, sizeof(buffer))) > 0)
		text_add(&text, buffer, (size_t)got);
	close(fd);
}

static int
count_lines(void)
{
	int count = 0;

	for (size_t i = 0; i < text.length; i++)
		count += text.data[i] == '\n';
	return count;
}

START_TEST(messages_reach_stderr_in_order)
{
	int fd = pipe_stderr();

	log_open("scheduler", -1, LOG_FORMAT_AUTO);
	log_info("one %d", 1);
	log_debug("too much");
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("two");
	log_set_level(LOG_LEVEL_ERROR);
	log_warning("not asked for");
	log_write(LOG_LEVEL_ERROR, LOG_TASK_FAILED, &context, "three");
	log_close(5000);
	log_error("after the end");
	read_rest(fd);
	ck_assert_int_eq(count_lines(), 3);
	ck_assert_ptr_nonnull(strstr(text.data, "Z info scheduler one 1\n"));
	ck_assert_ptr_nonnull(strstr(text.data, "Z debug scheduler two\n"));
	ck_assert_ptr_nonnull(
	    strstr(text.data, "Z error scheduler three task=42 "));
	ck_assert_uint_eq(log_dropped(), 1);
}
END_TEST

START_TEST(before_it_is_open_messages_go_out_at_once)
{
	int fd = pipe_stderr();

	log_error("early");
	read_rest(fd);
	ck_assert_ptr_nonnull(strstr(text.data, "Z error musterd early\n"));
}
END_TEST

START_TEST(e1_a_stopped_reader_blocks_nobody)
{
	int fd = pipe_stderr();
	struct mono start = mono_now();
	uint64_t told = 0, reports = 0;

	log_open("worker", 0, LOG_FORMAT_TEXT);
	for (int i = 0; i < 10000; i++)
		log_info("message %d of many that nobody reads", i);
	ck_assert_uint_gt(log_dropped(), 5000);
	ck_assert_int_lt(mono_ms_between(start, mono_now()), 3000);
	/* The reader wakes up: what is in the ring comes, then the count. */
	while (text.length < LOG_RING_SIZE / 2) {
		char buffer[4096];
		ssize_t got = read(fd, buffer, sizeof(buffer));

		ck_assert_int_gt(got, 0);
		text_add(&text, buffer, (size_t)got);
	}
	log_info("the reader is back");
	fcntl(fd, F_SETPIPE_SZ, 1 << 20); /* room for all that is left */
	log_close(5000);
	read_rest(fd);
	/* In several parts if there was room in between. */
	for (char *at = text.data; (at = strstr(at, "suppressed ")) != NULL;
	     reports++) {
		at += strlen("suppressed ");
		told += strtoull(at, NULL, 10);
	}
	ck_assert_uint_eq(told, log_dropped());
	ck_assert_ptr_nonnull(strstr(text.data, "the reader is back\n"));
	ck_assert_uint_eq(
	    (size_t)count_lines() + log_dropped(), 10000 + 1 + reports);
}
END_TEST

START_TEST(e1_closing_waits_no_longer_than_told)
{
	int fd = pipe_stderr();
	struct mono start;

	log_open("worker", 0, LOG_FORMAT_TEXT);
	for (int i = 0; i < 1000; i++)
		log_info("message %d of many that nobody reads", i);
	start = mono_now();
	log_close(100);
	ck_assert_int_ge(mono_ms_between(start, mono_now()), 100);
	ck_assert_int_lt(mono_ms_between(start, mono_now()), 2000);
	ck_assert_uint_gt(log_dropped(), 500);
	close(fd);
}
END_TEST

START_TEST(a_closed_stderr_is_survived)
{
	int fd = pipe_stderr();

	log_open("worker", 0, LOG_FORMAT_JSON);
	close(fd);
	for (int i = 0; i < 100; i++)
		log_info("message %d", i);
	log_close(5000);
}
END_TEST

START_TEST(a_full_disk_is_survived)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct mono start;

	ck_assert_int_eq(dup2(full, STDERR_FILENO), STDERR_FILENO);
	close(full);
	unsetenv("JOURNAL_STREAM");
	log_open("worker", 0, LOG_FORMAT_TEXT);
	for (int i = 0; i < 1000; i++)
		log_info("message %d for which there is no room", i);
	start = mono_now();
	log_close(5000);
	ck_assert_int_lt(mono_ms_between(start, mono_now()), 5000);
}
END_TEST

START_TEST(a_non_blocking_stderr_loses_nothing)
{
	int fd = pipe_stderr();

	fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK);
	log_open("worker", 0, LOG_FORMAT_TEXT);
	for (int i = 0; i < 500; i++)
		log_info("message %d is written when there is room", i);
	while (text.length < 30000) {
		char buffer[512];
		ssize_t got = read(fd, buffer, sizeof(buffer));

		ck_assert_int_gt(got, 0);
		text_add(&text, buffer, (size_t)got);
	}
	fcntl(fd, F_SETPIPE_SZ, 1 << 20);
	log_close(5000);
	read_rest(fd);
	ck_assert_int_eq(count_lines(), 500);
	ck_assert_uint_eq(log_dropped(), 0);
}
END_TEST

static void *
log_hundred(void *unused)
{
	(void)unused;
	for (int i = 0; i < 100; i++)
		log_info("line");
	return NULL;
}

START_TEST(any_thread_may_log)
{
	int fd = pipe_stderr();
	pthread_t threads[4];

	fcntl(fd, F_SETPIPE_SZ, 1 << 20);
	log_open("worker", 0, LOG_FORMAT_TEXT);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, log_hundred, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	log_close(5000);
	read_rest(fd);
	ck_assert_int_eq(count_lines(), 400);
}
END_TEST

/* A signal that the main thread does not want now stays pending: the writing
 * thread would die of it. */
START_TEST(the_writing_thread_takes_no_signals)
{
	int fd = pipe_stderr();
	sigset_t signals;

	log_open("worker", 0, LOG_FORMAT_TEXT);
	sigfillset(&signals);
	sigprocmask(SIG_SETMASK, &signals, NULL);
	for (int number = 1; number < 32; number++) /* libc has 32, 33 */
		if (number != SIGKILL && number != SIGSTOP)
			ck_assert_int_eq(kill(getpid(), number), 0);
	log_info("still there");
	log_close(5000);
	sigpending(&signals);
	ck_assert(sigismember(&signals, SIGTERM));
	ck_assert(sigismember(&signals, SIGUSR1));
	read_rest(fd);
	ck_assert_int_eq(count_lines(), 1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("log");
	TCase *tests = unit_case(suite, "lines");

	tcase_add_checked_fixture(tests, NULL, clean);
	tcase_add_test(tests, text_lines);
	tcase_add_test(tests, json_lines);
	tcase_add_test(tests, fields_of_handlers_are_marked);
	tcase_add_test(tests, fields_of_handlers_are_bounded);
	tcase_add_test(tests, lines_are_cut);
	tcase_add_test(tests, i2_message_ids_are_fixed_and_distinct);
	tcase_add_test(tests, levels_have_names);
	tests = unit_case(suite, "ring");
	tcase_add_checked_fixture(tests, NULL, clean);
	tcase_add_test(tests, messages_reach_stderr_in_order);
	tcase_add_test(tests, before_it_is_open_messages_go_out_at_once);
	tcase_add_test(tests, e1_a_stopped_reader_blocks_nobody);
	tcase_add_test(tests, e1_closing_waits_no_longer_than_told);
	tcase_add_test(tests, a_closed_stderr_is_survived);
	tcase_add_test(tests, a_full_disk_is_survived);
	tcase_add_test(tests, a_non_blocking_stderr_loses_nothing);
	tcase_add_test(tests, any_thread_may_log);
	tcase_add_test(tests, the_writing_thread_takes_no_signals);
	return unit_run(suite);
}
