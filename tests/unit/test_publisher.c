/* Events on their way to Redis, which is played here. */
#include "common/publisher.h"

#include <errno.h>
#include <event2/event.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "daemon/event.h"
#include "tests/unit/unit.h"

static struct event_base *base;
static struct scoreboard *board;
static struct publisher *publisher;
static int log_lines;
static struct mono now = {1000000000};

/* Redis. */

static struct {
	bool up;
	redis_reply_cb *on_reply[1000];
	void *argument[1000];
	size_t first, pending; /* to be answered */
	struct text sent;      /* a command a line */
	int commands;
} redis;

bool
redis_is_up(const struct redis *what)
{
	(void)what;
	return redis.up;
}

int
redis_ask(struct redis *what, int argc, const char *const *argv,
    const size_t *lengths, redis_reply_cb *on_reply, void *argument)
{
	size_t at = (redis.first + redis.pending) % 1000;

	(void)what;
	if (!redis.up)
		return -ENOTCONN;
	for (int i = 0; i < argc; i++) {
		ck_assert_uint_eq(lengths[i], strlen(argv[i]));
		text_addf(&redis.sent, "%s%s", i > 0 ? " " : "", argv[i]);
	}
	text_add_char(&redis.sent, '\n');
	redis.commands++;
	redis.on_reply[at] = on_reply;
	redis.argument[at] = argument;
	redis.pending++;
	return 0;
}

/* The first that waits gets its answer, NULL: it is lost. */
static void
answer(const char *item)
{
	size_t at = redis.first;

	ck_assert_uint_gt(redis.pending, 0);
	redis.first = (redis.first + 1) % 1000;
	redis.pending--;
	redis.on_reply[at](
	    item != NULL ? &item : NULL, item != NULL, redis.argument[at]);
}

static void
answer_all(const char *item)
{
	while (redis.pending > 0)
		answer(item);
}

void
log_write(enum log_level level, enum log_kind kind,
    const struct log_context *context, const char *format, ...)
{
	(void)kind, (void)context, (void)format;
	log_lines += level <= LOG_LEVEL_NOTICE;
}

enum log_level
log_level_now(void)
{
	return LOG_LEVEL_NOTICE;
}

static uint64_t
counted(enum scoreboard_counter which)
{
	return scoreboard_counter(board, which);
}

static void
prepare(void)
{
	struct scoreboard *supervisors = scoreboard_new();

	base = event_base_new();
	board = scoreboard_open(dup(scoreboard_fd(supervisors)));
	scoreboard_free(supervisors);
	publisher = event_publisher(base, board, "c");
	now = mono_now();
	publisher_use(publisher, (struct redis *)&redis);
	redis.up = true;
}

static void
finish(void)
{
	publisher_free(publisher);
	scoreboard_free(board);
	event_base_free(base);
	text_free(&redis.sent);
}

/* Whether it was wanted. */
static bool
tell(enum event_type type, size_t size)
{
	struct text event = TEXT_EMPTY;

	if (!publisher_wants(publisher, type, now))
		return false;
	event_begin(&event, type, 5432001);
	while (event.length < size)
		text_add_char(&event, 'x');
	event_send(publisher, type, &event);
	ck_assert_uint_eq(event.length, 0);
	return true;
}

static int
tell_many(enum event_type type, int count)
{
	int wanted = 0;

	for (int i = 0; i < count; i++)
		wanted += tell(type, 0);
	return wanted;
}

START_TEST(D1_an_event_has_its_channel_and_its_shape)
{
	struct text event = TEXT_EMPTY;

	event_begin(&event, EVENT_TASK_FAILED, 1732000000123999);
	event_add_id(&event, "task", 42);
	event_add_id(&event, "flow", 0);
	event_add_number(&event, "ran_ms", 12);
	event_add_string(&event, "error", "a \"b\"\n\xff");
	event_add_string(&event, "name", NULL);
	event_send(publisher, EVENT_TASK_FAILED, &event);
	ck_assert_str_eq(text_string(&redis.sent),
	    "PUBLISH muster:c:events:task.failed "
	    "{\"v\":1,\"type\":\"task.failed\",\"at\":1732000000.123,"
	    "\"task\":\"42\",\"ran_ms\":12,"
	    "\"error\":\"a \\\"b\\\"\\n\xef\xbf\xbd\"}\n");
}
END_TEST

START_TEST(D1_what_nobody_hears_is_only_tried)
{
	ck_assert_int_eq(tell_many(EVENT_TASK_STARTED, 1000), PUBLISHER_TRIES);
	answer_all("0");
	now = mono_add_ms(now, 9);
	ck_assert(!tell(EVENT_TASK_STARTED, 0));
	ck_assert(tell(EVENT_TASK_FAILED, 0)); /* has tries of its own */
	now = mono_add_ms(now, 1);
	ck_assert(tell(EVENT_TASK_STARTED, 0));
	ck_assert(!tell(EVENT_TASK_STARTED, 0));
	now = mono_add_ms(now, 60 * 1000);
	ck_assert_int_eq(tell_many(EVENT_TASK_STARTED, 1000), PUBLISHER_TRIES);
	answer_all("0");
	ck_assert_uint_eq(counted(SCOREBOARD_EVENTS_PUBLISHED), 0);
	ck_assert_uint_eq(counted(SCOREBOARD_EVENTS_DROPPED), 0);
}
END_TEST

START_TEST(D1_the_first_that_is_heard_opens_it)
{
	ck_assert(tell(EVENT_TASK_STARTED, 0));
	answer("2");
	ck_assert_int_eq(tell_many(EVENT_TASK_STARTED, 1000), 1000);
	ck_assert_int_eq(tell_many(EVENT_TASK_FAILED, 1000), PUBLISHER_TRIES);
	answer_all("2");
	ck_assert_uint_eq(
	    counted(SCOREBOARD_EVENTS_PUBLISHED), 1001 + PUBLISHER_TRIES);
	ck_assert(tell(EVENT_TASK_STARTED, 0));
	answer("0"); /* he is gone */
	ck_assert_int_lt(tell_many(EVENT_TASK_STARTED, 1000), 1000);
}
END_TEST

START_TEST(D1_only_so_many_are_under_way)
{
	ck_assert(tell(EVENT_TASK_STARTED, 0));
	answer("1");
	tell_many(EVENT_TASK_STARTED, 1000);
	ck_assert_uint_eq(redis.pending, PUBLISHER_WINDOW);
	answer("1");
	ck_assert_uint_eq(redis.pending, PUBLISHER_WINDOW);
	answer_all("1");
	ck_assert_int_eq(redis.commands, 1001);
}
END_TEST

START_TEST(D1_memory_is_bounded_and_what_does_not_fit_is_counted)
{
	ck_assert(tell(EVENT_TASK_STARTED, 0));
	answer("1");
	redis.up = false;
	for (int i = 0; i < 10; i++)
		tell(EVENT_TASK_STARTED, 1000 * 1000);
	ck_assert_uint_eq(counted(SCOREBOARD_EVENTS_DROPPED), 6);
	ck_assert_int_eq(log_lines, 1);
	ck_assert(!tell(EVENT_TASK_FAILED, 0)); /* nobody is known to hear */
	redis.up = true;
	publisher_go(publisher);
	ck_assert_int_eq(redis.commands, 5);
}
END_TEST

START_TEST(D1_what_was_under_way_is_lost_with_the_connection)
{
	tell(EVENT_TASK_STARTED, 0);
	answer(NULL); /* whether somebody listened nobody knows */
	ck_assert_uint_eq(counted(SCOREBOARD_EVENTS_DROPPED), 0);
	tell(EVENT_TASK_STARTED, 0);
	answer("1");
	tell_many(EVENT_TASK_STARTED, 3);
	redis.up = false;
	answer_all(NULL);
	ck_assert_uint_eq(counted(SCOREBOARD_EVENTS_DROPPED), 3);
}
END_TEST

START_TEST(D1_what_waits_at_the_end_is_counted)
{
	tell(EVENT_TASK_STARTED, 0);
	answer("1");
	redis.up = false;
	tell_many(EVENT_TASK_STARTED, 7);
	publisher_flush(publisher, 10);
	publisher = publisher_free(publisher);
	ck_assert_uint_eq(counted(SCOREBOARD_EVENTS_DROPPED), 7);
}
END_TEST

START_TEST(D1_a_flush_ends_at_its_limit)
{
	struct mono began = mono_now();

	tell(EVENT_TASK_STARTED, 0);
	publisher_flush(publisher, 30); /* Redis hangs */
	ck_assert_int_ge(mono_ms_between(began, mono_now()), 29);
	answer_all("0");
	began = mono_now();
	publisher_flush(publisher, 5000);
	ck_assert_int_lt(mono_ms_between(began, mono_now()), 4000);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("publisher");
	TCase *tests = unit_case(suite, "publisher");

	tcase_add_checked_fixture(tests, prepare, finish);
	tcase_add_test(tests, D1_an_event_has_its_channel_and_its_shape);
	tcase_add_test(tests, D1_what_nobody_hears_is_only_tried);
	tcase_add_test(tests, D1_the_first_that_is_heard_opens_it);
	tcase_add_test(tests, D1_only_so_many_are_under_way);
	tcase_add_test(
	    tests, D1_memory_is_bounded_and_what_does_not_fit_is_counted);
	tcase_add_test(
	    tests, D1_what_was_under_way_is_lost_with_the_connection);
	tcase_add_test(tests, D1_what_waits_at_the_end_is_counted);
	tcase_add_test(tests, D1_a_flush_ends_at_its_limit);
	return unit_run(suite);
}
