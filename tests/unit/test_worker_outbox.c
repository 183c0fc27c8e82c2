/* What tasks tell on its way to Redis, which is played here. */
#include "daemon/worker/outbox.h"

#include <errno.h>
#include <event2/event.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"
#include "tests/unit/unit.h"

static struct event_base *base;
static struct scoreboard *board;
static struct outbox *outbox;
static int log_lines;

/* Redis. */

static struct {
	bool made, up;
	redis_state_cb *on_state;
	void *argument;
	redis_reply_cb *on_reply;
	void *reply_argument;
	size_t pending;
	bool answers;	  /* at once; otherwise when asked to */
	struct text sent; /* a command a line */
	int commands;
} redis;

struct redis *
redis_new(struct event_base *where, const struct redis_address *address,
    redis_state_cb *on_state, void *argument)
{
	(void)where, (void)address;
	ck_assert(!redis.made);
	redis.made = true;
	redis.on_state = on_state;
	redis.argument = argument;
	return (struct redis *)&redis;
}

struct redis *
redis_free(struct redis *what)
{
	(void)what;
	redis.up = false;
	return NULL;
}

bool
redis_is_up(const struct redis *what)
{
	(void)what;
	return redis.up;
}

size_t
redis_pending(const struct redis *what)
{
	(void)what;
	return redis.pending;
}

int
redis_ask(struct redis *what, int argc, const char *const *argv,
    const size_t *lengths, redis_reply_cb *on_reply, void *argument)
{
	(void)what;
	if (!redis.up)
		return -ENOTCONN;
	for (int i = 0; i < argc; i++) {
		ck_assert_uint_eq(lengths[i], strlen(argv[i]));
		text_addf(&redis.sent, "%s%s", i > 0 ? " " : "", argv[i]);
	}
	text_add_char(&redis.sent, '\n');
	redis.commands++;
	redis.on_reply = on_reply;
	redis.reply_argument = argument;
	redis.pending += !redis.answers;
	return 0;
}

static void
come_up(void)
{
	redis.up = true;
	redis.on_state(true, NULL, redis.argument);
}

/* Whatever waits is answered, or lost. */
static void
answer_all(bool lost)
{
	const char *item = "0";

	for (size_t count = redis.pending; count > 0; count--) {
		redis.pending--;
		redis.on_reply(
		    lost ? NULL : &item, !lost, redis.reply_argument);
	}
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

static void
turn(int ms)
{
	struct timeval limit = {.tv_usec = ms * 1000};

	event_base_loopexit(base, &limit);
	event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY);
}

static int
count_of(const char *part)
{
	const char *at = text_string(&redis.sent);
	int count = 0;

	while ((at = strstr(at, part)) != NULL) {
		count++;
		at++;
	}
	return count;
}

static uint64_t
counted(enum scoreboard_counter which)
{
	return scoreboard_counter(board, which);
}

static void
prepare(void)
{
	struct redis_address address = {.path = (char[]){"/nowhere"}};
	struct scoreboard *supervisors = scoreboard_new();

	base = event_base_new();
	board = scoreboard_open(dup(scoreboard_fd(supervisors)));
	scoreboard_free(supervisors);
	redis.answers = true;
	outbox = outbox_new(base, &address, "c", board);
}

static void
finish(void)
{
	outbox_free(outbox);
	scoreboard_free(board);
	event_base_free(base);
	text_free(&redis.sent);
}

static void
progress(struct outbox_task **task, int64_t id, double fraction)
{
	outbox_progress(outbox, task, id, fraction, "n", 1);
}

static void
chunk(struct outbox_task **task, int64_t id, size_t size)
{
	char *data = malloc(size);

	memset(data, '1', size);
	outbox_chunk(outbox, task, id, data, size);
	free(data);
}

START_TEST(nobody_who_tells_nothing_costs_a_connection)
{
	struct outbox_task *task = NULL;

	outbox_end(outbox, &task, "succeeded");
	turn(1);
	ck_assert(!redis.made);
}
END_TEST

START_TEST(D4_what_is_told_is_sent_and_kept_until_the_end)
{
	struct outbox_task *task = NULL;

	progress(&task, 7, 0.5);
	come_up();
	ck_assert_int_eq(count_of("PUBLISH muster:c:task:7 {\"v\":1,\"type\":"
				  "\"progress\",\"task\":\"7\",\"at\":"),
	    1);
	ck_assert_int_eq(count_of("\"fraction\":0.5,\"note\":\"n\"}"), 2);
	ck_assert_int_eq(count_of("SET muster:c:progress:7 {"), 1);
	ck_assert_int_eq(count_of("} EX 3600\n"), 1);
	chunk(&task, 7, 3);
	ck_assert_int_eq(count_of("\"data\":111}"), 1);
	outbox_end(outbox, &task, "failed");
	ck_assert_ptr_null(task);
	ck_assert_int_eq(count_of("\"outcome\":\"failed\"}\n"
				  "DEL muster:c:progress:7\n"),
	    1);
	ck_assert_uint_eq(counted(SCOREBOARD_STREAMED), 3);
}
END_TEST

START_TEST(progress_is_coalesced_and_the_last_is_sent)
{
	struct outbox_task *task = NULL;
	struct mono began = mono_now();
	int64_t ms;

	progress(&task, 7, 0);
	come_up();
	for (int i = 1; i <= 1000; i++) {
		progress(&task, 7, i / 1000.0);
		if (i % 100 == 0)
			turn(10);
	}
	turn(2 * OUTBOX_PAUSE_MS);
	ms = mono_ms_between(began, mono_now());
	ck_assert_int_ge(count_of("PUBLISH"), 3);
	ck_assert_int_le(count_of("PUBLISH"), 2 + (int)(ms / OUTBOX_PAUSE_MS));
	ck_assert_int_eq(count_of("\"fraction\":1,"), 2);
	outbox_end(outbox, &task, NULL);
	ck_assert_uint_eq(counted(SCOREBOARD_STREAM_DROPPED), 0);
}
END_TEST

START_TEST(the_last_progress_comes_before_the_end)
{
	struct outbox_task *task = NULL;

	progress(&task, 7, 0.1);
	come_up();
	progress(&task, 7, 0.2);
	outbox_end(outbox, &task, "succeeded");
	ck_assert_ptr_nonnull(strstr(text_string(&redis.sent), "0.2"));
	ck_assert(strstr(text_string(&redis.sent), "0.2") <
		  strstr(text_string(&redis.sent), "\"end\""));
	turn(2 * OUTBOX_PAUSE_MS);
	ck_assert_int_eq(count_of("SET"), 1);
}
END_TEST

START_TEST(who_lost_a_task_does_not_end_it)
{
	struct outbox_task *task = NULL;

	progress(&task, 7, 0.1);
	come_up();
	progress(&task, 7, 0.2);
	outbox_end(outbox, &task, NULL);
	turn(2 * OUTBOX_PAUSE_MS);
	ck_assert_int_eq(count_of("PUBLISH"), 1);
	ck_assert_int_eq(count_of("DEL"), 0);
}
END_TEST

START_TEST(the_queue_is_bounded_for_each_and_for_all)
{
	struct outbox_task *tasks[8] = {0};
	size_t size = 100 * 1000;
	uint64_t kept, all = 0;

	for (int i = 0; i < 8; i++)
		for (int k = 0; k < 20; k++, all++)
			chunk(&tasks[i], i + 1, size);
	ck_assert_int_eq(log_lines, 1);
	kept = all - counted(SCOREBOARD_STREAM_DROPPED);
	ck_assert_uint_le(kept * size, OUTBOX_MAX);
	ck_assert_uint_ge((kept + 1) * size, OUTBOX_MAX - 2 * size);
	for (int i = 0; i < 8; i++)
		outbox_end(outbox, &tasks[i], "succeeded");
	come_up();
	for (int i = 1; i <= 8; i++) {
		char name[64];

		snprintf(name, sizeof(name), "\"chunk\",\"task\":\"%d\"", i);
		ck_assert_int_le(count_of(name), OUTBOX_TASK_MAX / (int)size);
	}
	ck_assert_int_eq(count_of("\"chunk\""), (int)kept);
	ck_assert_int_eq(count_of("\"end\""), 8);
}
END_TEST

START_TEST(a_chunk_that_is_too_large_is_dropped)
{
	struct outbox_task *task = NULL;

	chunk(&task, 7, OUTBOX_CHUNK_MAX + 1);
	chunk(&task, 7, OUTBOX_CHUNK_MAX);
	come_up();
	ck_assert_uint_eq(counted(SCOREBOARD_STREAM_DROPPED), 1);
	ck_assert_int_eq(count_of("\"chunk\""), 1);
	outbox_end(outbox, &task, NULL);
}
END_TEST

START_TEST(a_slow_redis_gets_no_more_than_it_answers)
{
	struct outbox_task *task = NULL;

	redis.answers = false;
	for (int i = 0; i < 1000; i++)
		chunk(&task, 7, 10);
	come_up();
	ck_assert_int_eq(redis.commands, OUTBOX_WINDOW);
	turn(10);
	ck_assert_int_eq(redis.commands, OUTBOX_WINDOW);
	for (int i = 0; i < 4; i++)
		answer_all(false);
	ck_assert_int_eq(count_of("\"chunk\""), 1000);
	ck_assert_uint_eq(counted(SCOREBOARD_STREAM_DROPPED), 0);
	outbox_end(outbox, &task, NULL);
}
END_TEST

START_TEST(what_was_under_way_when_redis_went_is_counted)
{
	struct outbox_task *task = NULL;

	redis.answers = false;
	for (int i = 0; i < 300; i++)
		chunk(&task, 7, 10);
	come_up();
	redis.up = false;
	answer_all(true);
	ck_assert_uint_eq(counted(SCOREBOARD_STREAM_DROPPED), OUTBOX_WINDOW);
	redis.answers = true;
	come_up();
	ck_assert_int_eq(count_of("\"chunk\""), 300);
	outbox_end(outbox, &task, NULL);
}
END_TEST

START_TEST(odd_fractions_and_notes)
{
	struct outbox_task *task = NULL;
	static const double odd[] = {-1, 0.0 / 0.0, 1e300};
	char *note = malloc(5000);

	memset(note, '\xc3', 5000);
	for (size_t i = 0; i < 3; i++) {
		outbox_progress(outbox, &task, 7, odd[i], note, 5000);
		if (i == 0)
			come_up();
		turn(OUTBOX_PAUSE_MS + 10);
	}
	ck_assert_int_eq(count_of("\"fraction\":0,"), 4);
	ck_assert_int_eq(count_of("\"fraction\":1,"), 2);
	ck_assert(utf8_is_valid(redis.sent.data, redis.sent.length));
	ck_assert_uint_lt(redis.sent.length, 6 * (OUTBOX_NOTE_MAX + 200));
	outbox_end(outbox, &task, NULL);
	free(note);
}
END_TEST

START_TEST(what_waits_is_flushed_at_the_end)
{
	struct outbox_task *task = NULL;
	struct mono began = mono_now();

	chunk(&task, 7, 10);
	outbox_flush(outbox, 5000); /* Redis is not there */
	ck_assert_int_lt(mono_ms_between(began, mono_now()), 1000);
	redis.answers = false;
	come_up();
	outbox_flush(outbox, 50); /* and does not answer */
	ck_assert_int_ge(mono_ms_between(began, mono_now()), 49);
	ck_assert_int_lt(mono_ms_between(began, mono_now()), 2000);
	outbox_end(outbox, &task, NULL);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("worker_outbox");
	TCase *tests = unit_case(suite, "outbox");

	tcase_add_checked_fixture(tests, prepare, finish);
	tcase_add_test(tests, nobody_who_tells_nothing_costs_a_connection);
	tcase_add_test(tests, D4_what_is_told_is_sent_and_kept_until_the_end);
	tcase_add_test(tests, progress_is_coalesced_and_the_last_is_sent);
	tcase_add_test(tests, the_last_progress_comes_before_the_end);
	tcase_add_test(tests, who_lost_a_task_does_not_end_it);
	tcase_add_test(tests, the_queue_is_bounded_for_each_and_for_all);
	tcase_add_test(tests, a_chunk_that_is_too_large_is_dropped);
	tcase_add_test(tests, a_slow_redis_gets_no_more_than_it_answers);
	tcase_add_test(tests, what_was_under_way_when_redis_went_is_counted);
	tcase_add_test(tests, odd_fractions_and_notes);
	tcase_add_test(tests, what_waits_is_flushed_at_the_end);
	return unit_run(suite);
}
