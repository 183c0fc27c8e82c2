/* From a handler's words to the outbox, which is played here. */
#include "daemon/worker/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "daemon/worker/outbox.h"
#include "daemon/worker/worker.h"
#include "tests/unit/unit.h"

static struct worker *worker;
static struct running *running;
static struct text heard; /* a line a call */

/* A handler that says two things while it runs. */

struct handler {
	struct handler_host host;
};

static struct handler *
talker_open(
    const struct handler_host *host, const struct handler_config *config)
{
	struct handler *handler = calloc(1, sizeof(*handler));

	(void)config;
	handler->host = *host;
	return handler;
}

static void
talker_start(struct handler *handler, struct task *task)
{
	const struct handler_host *host = &handler->host;

	host->on_progress(task, 0.5, "half way", 4, host->argument);
	host->on_chunk(task, "[1]garbage", 3, host->argument);
}

static void
talker_close(struct handler *handler)
{
	free(handler);
}

static const struct handler_ops talker = {
    .name = "talker",
    .open = talker_open,
    .start = talker_start,
    .close = talker_close,
};

/* The outbox. */

void
outbox_progress(struct outbox *outbox, struct outbox_task **task, int64_t id,
    double fraction, const char *note, size_t note_size)
{
	(void)outbox;
	*task = (struct outbox_task *)&heard;
	text_addf(&heard, "progress %d %.2f %.*s\n", (int)id, fraction,
	    (int)note_size, note);
}

void
outbox_chunk(struct outbox *outbox, struct outbox_task **task, int64_t id,
    const char *data, size_t size)
{
	(void)outbox;
	*task = (struct outbox_task *)&heard;
	text_addf(&heard, "chunk %d %.*s\n", (int)id, (int)size, data);
}

void
outbox_end(
    struct outbox *outbox, struct outbox_task **task, const char *outcome)
{
	(void)outbox;
	*task = NULL;
	text_addf(&heard, "end %s\n", outcome != NULL ? outcome : "-");
}

struct outbox *
outbox_new(struct event_base *base, const struct redis_address *address,
    const char *cluster, struct scoreboard *board)
{
	(void)base, (void)address, (void)cluster, (void)board;
	return NULL;
}

struct outbox *
outbox_free(struct outbox *outbox)
{
	(void)outbox;
	return NULL;
}

void
outbox_flush(struct outbox *outbox, int limit_ms)
{
	(void)outbox, (void)limit_ms;
}

static void
prepare(void)
{
	worker = calloc(1, sizeof(*worker));
	worker->outbox = (struct outbox *)worker; /* there is one */
	running = running_new(7, 9);
	running->state = RUNNING_STARTED;
}

static void
finish(void)
{
	running_free(running);
	free(worker);
	text_free(&heard);
}

static void
run(void)
{
	struct handler_host host = {
	    .on_progress = stream_progress,
	    .on_chunk = stream_chunk,
	    .argument = worker,
	};
	struct handler *handler = talker.open(&host, NULL);

	talker.start(handler, &running->task);
	talker.close(handler);
}

#define BOTH "progress 7 0.50 half\nchunk 7 [1]\n"

START_TEST(D4_a_handlers_words_are_handed_on)
{
	run();
	ck_assert_str_eq(text_string(&heard), BOTH);
}
END_TEST

START_TEST(without_redis_they_go_nowhere)
{
	worker->outbox = NULL;
	run();
	stream_end(worker, running, VERDICT_TELL);
	ck_assert_str_eq(text_string(&heard), "");
}
END_TEST

START_TEST(a_task_that_is_not_ours_any_more_is_not_heard)
{
	running->cancelled = true;
	running->reason = CANCEL_FENCED;
	run();
	ck_assert_str_eq(text_string(&heard), "");
	running->reason = CANCEL_ASKED; /* in its grace it may still speak */
	run();
	ck_assert_str_eq(text_string(&heard), BOTH);
}
END_TEST

START_TEST(what_has_ended_is_not_heard)
{
	running->state = RUNNING_FINISHED;
	run();
	ck_assert_str_eq(text_string(&heard), "");
}
END_TEST

static const struct {
	enum verdict verdict;
	char outcome;
	const char *end;
} ends[] = {
    {VERDICT_TELL, 's', "succeeded"},
    {VERDICT_TELL, 'f', "failed"},
    {VERDICT_TELL, 'c', "cancelled"},
    {VERDICT_TELL, 'r', "retried"},
    {VERDICT_TELL, 'u', "retried"},
    {VERDICT_TELL, 'b', "retried"},
    {VERDICT_RECORDED, 0, "succeeded"},
    {VERDICT_DROP, 0, "-"},
};

START_TEST(the_end_says_how_it_ended)
{
	struct text wanted = TEXT_EMPTY;

	running->finish.outcome = ends[_i].outcome;
	stream_end(worker, running, ends[_i].verdict);
	ck_assert_str_eq(text_string(&heard), "");
	run();
	stream_end(worker, running, ends[_i].verdict);
	stream_end(worker, running, ends[_i].verdict);
	text_addf(&wanted, BOTH "end %s\n", ends[_i].end);
	ck_assert_str_eq(text_string(&heard), text_string(&wanted));
	text_free(&wanted);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("worker_stream");
	TCase *tests = unit_case(suite, "stream");

	tcase_add_checked_fixture(tests, prepare, finish);
	tcase_add_test(tests, D4_a_handlers_words_are_handed_on);
	tcase_add_test(tests, without_redis_they_go_nowhere);
	tcase_add_test(tests, a_task_that_is_not_ours_any_more_is_not_heard);
	tcase_add_test(tests, what_has_ended_is_not_heard);
	tcase_add_loop_test(tests, the_end_says_how_it_ended, 0,
	    (int)(sizeof(ends) / sizeof(ends[0])));
	return unit_run(suite);
}
