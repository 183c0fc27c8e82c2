/* The journal, as a socket of our own. */
#include <endian.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log_parts.h"
#include "tests/unit/unit.h"

#define SOCKET "test_log.socket"

/* The last datagram. */
static struct text text;

static void
clean(void)
{
	text_free(&text);
	unlink(SOCKET);
}

/* The value of a journal field in a datagram; NULL: none. */
static const char *
find_field(const char *datagram, size_t size, const char *name)
{
	static char value[LOG_LINE_LIMIT];
	const char *at = datagram, *end = datagram + size;

	while (at < end) {
		size_t key = strcspn(at, "=\n"), length;
		const char *start = at + key + 1;
		uint64_t little;

		if (at[key] == '=') {
			length = strcspn(start, "\n");
		} else {
			memcpy(&little, start, sizeof(little));
			length = le64toh(little);
			start += sizeof(little);
		}
		ck_assert(start + length + 1 <= end);
		ck_assert_int_eq(start[length], '\n');
		if (strlen(name) == key && strncmp(at, name, key) == 0) {
			memcpy(value, start, length);
			value[length] = '\0';
			return value;
		}
		at = start + length + 1;
	}
	return NULL;
}

static void
check_field(const char *name, const char *wanted)
{
	const char *value = find_field(text.data, text.length, name);

	if (wanted == NULL) {
		ck_assert_ptr_null(value);
		return;
	}
	ck_assert_ptr_nonnull(value);
	ck_assert_str_eq(value, wanted);
}

/* A journal of our own: a datagram socket; standard error is said to be its
 * stream. */
static int
fake_journal(void)
{
	struct sockaddr_un address = {
	    .sun_family = AF_UNIX, .sun_path = SOCKET};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	struct stat status;
	char stream[64];

	unlink(address.sun_path);
	ck_assert_int_eq(
	    bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	log_journal_path = SOCKET;
	fstat(STDERR_FILENO, &status);
	snprintf(stream, sizeof(stream), "%llu:%llu",
	    (unsigned long long)status.st_dev,
	    (unsigned long long)status.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	return fd;
}

static bool
receive(int fd)
{
	static char datagram[65536];
	ssize_t got = recv(fd, datagram, sizeof(datagram), 0);

	text_clear(&text);
	if (got > 0)
		text_add(&text, datagram, (size_t)got);
	return got > 0;
}

START_TEST(i2_messages_have_fields)
{
	struct log_context context = {.task = 42,
	    .flow = 7,
	    .attempt = 2,
	    .kind = "resize",
	    .queue = "default"};
	int fd = fake_journal();

	log_open("worker", 2, LOG_FORMAT_AUTO);
	log_write(LOG_LEVEL_INFO, LOG_TASK_FAILED, &context, "failed");
	ck_assert(receive(fd));
	check_field("MESSAGE",
	    "failed task=42 flow=7 kind=resize queue=default attempt=2");
	check_field("PRIORITY", "6");
	check_field("SYSLOG_IDENTIFIER", "musterd");
	check_field("MESSAGE_ID", log_kind_id(LOG_TASK_FAILED));
	check_field("MUSTER_ROLE", "worker");
	check_field("MUSTER_WORKER", "2");
	check_field("MUSTER_TASK", "42");
	check_field("MUSTER_FLOW", "7");
	check_field("MUSTER_KIND", "resize");
	check_field("MUSTER_QUEUE", "default");
	check_field("MUSTER_ATTEMPT", "2");
	check_field("TRACE_ID", NULL);
	log_close(1000);
}
END_TEST

START_TEST(i2_foreign_text_makes_no_fields)
{
	struct log_context context = {
	    .kind = "x\nMUSTER_TASK=9", .trace_id = "t"};
	int fd = fake_journal();

	log_open("supervisor", -1, LOG_FORMAT_AUTO);
	log_write(LOG_LEVEL_INFO, LOG_HANDLER_OUTPUT, &context, "%s",
	    "a\nPRIORITY=0\n\tb\x1b");
	ck_assert(receive(fd));
	check_field("MESSAGE", "a\nPRIORITY=0\n\tb\\x1b");
	check_field("PRIORITY", "6");
	check_field("MUSTER_KIND", "x\\nMUSTER_TASK=9");
	check_field("MUSTER_TASK", NULL);
	check_field("MUSTER_WORKER", NULL);
	check_field("TRACE_ID", "t");
	log_close(1000);
}
END_TEST

START_TEST(i2_fields_of_handlers_overwrite_none_of_ours)
{
	static const struct log_field fields[] = {
	    {"PRIORITY", "0", 8, 1},
	    {"_UID\n", "a\nMUSTER_TASK=9", 5, 15},
	    {"muster_task", "9", 11, 1},
	};
	struct log_context context = {
	    .task = 42, .fields = fields, .field_count = 3};
	int fd = fake_journal();

	log_open("worker", 2, LOG_FORMAT_AUTO);
	log_write(LOG_LEVEL_WARNING, LOG_HANDLER_OUTPUT, &context, "words");
	ck_assert(receive(fd));
	check_field("MESSAGE", "words");
	check_field("PRIORITY", "4");
	check_field("MUSTER_TASK", "42");
	check_field("HANDLER_PRIORITY", "0");
	check_field("HANDLER__UID_", "a\nMUSTER_TASK=9");
	check_field("HANDLER_MUSTER_TASK", "9");
	check_field("_UID", NULL);
	log_close(1000);
}
END_TEST

START_TEST(i2_the_journal_gets_datagrams)
{
	int fd = fake_journal();

	log_open("supervisor", -1, LOG_FORMAT_AUTO);
	log_write(LOG_LEVEL_ERROR, LOG_RELOAD_REFUSED, NULL, "line\nline");
	log_close(1000);
	ck_assert(receive(fd));
	check_field("MESSAGE", "line\nline");
	check_field("PRIORITY", "3");
	check_field("MESSAGE_ID", log_kind_id(LOG_RELOAD_REFUSED));
	check_field("MUSTER_ROLE", "supervisor");
	ck_assert(!receive(fd));
}
END_TEST

START_TEST(i2_another_stderr_is_not_the_journal)
{
	int fd = fake_journal();
	struct text stream = TEXT_EMPTY;

	/* The same device, another inode. */
	text_addf(&stream, "%s1", getenv("JOURNAL_STREAM"));
	setenv("JOURNAL_STREAM", text_string(&stream), 1);
	log_open("supervisor", -1, LOG_FORMAT_AUTO);
	log_info("to standard error");
	log_close(1000);
	ck_assert(!receive(fd));
	ck_assert_uint_eq(log_dropped(), 0);
	text_free(&stream);
}
END_TEST

START_TEST(i2_e1_a_stopped_journal_blocks_nobody)
{
	int fd = fake_journal();
	uint64_t dropped;
	int received = 0;
	char wanted[96];

	log_open("worker", 1, LOG_FORMAT_AUTO);
	for (int i = 0; i < 5000; i++)
		log_info("message %d", i);
	dropped = log_dropped();
	ck_assert_uint_gt(dropped, 0);
	while (receive(fd))
		received++;
	ck_assert_uint_eq((uint64_t)received + dropped, 5000);
	log_info("back");
	ck_assert(receive(fd));
	snprintf(wanted, sizeof(wanted),
	    "suppressed %llu messages: the reader of the log was too slow",
	    (unsigned long long)dropped);
	check_field("MESSAGE", wanted);
	check_field("PRIORITY", "4");
	ck_assert(receive(fd));
	check_field("MESSAGE", "back");
	ck_assert(!receive(fd));
	log_close(1000);
}
END_TEST

START_TEST(i2_an_absent_journal_blocks_nobody)
{
	int fd = fake_journal();

	close(fd);
	unlink(SOCKET);
	log_open("worker", 1, LOG_FORMAT_AUTO);
	log_info("nobody hears");
	ck_assert_uint_eq(log_dropped(), 1);
	log_close(1000);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("log_journal");
	TCase *tests = unit_case(suite, "journal");

	tcase_add_checked_fixture(tests, NULL, clean);
	tcase_add_test(tests, i2_messages_have_fields);
	tcase_add_test(tests, i2_foreign_text_makes_no_fields);
	tcase_add_test(tests, i2_fields_of_handlers_overwrite_none_of_ours);
	tcase_add_test(tests, i2_the_journal_gets_datagrams);
	tcase_add_test(tests, i2_another_stderr_is_not_the_journal);
	tcase_add_test(tests, i2_e1_a_stopped_journal_blocks_nobody);
	tcase_add_test(tests, i2_an_absent_journal_blocks_nobody);
	return unit_run(suite);
}
