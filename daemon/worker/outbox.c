#include "daemon/worker/outbox.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/busy.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"

enum {
	MESSAGE_COST = 128,		   /* bytes beside its text */
	ENDS_MAX = OUTBOX_MAX + (1 << 18), /* ends go in where chunks don't */
	COMPLAIN_MS = 60 * 1000,
};

/* Waits for its turn. */
struct message {
	TAILQ_ENTRY(message) link;
	struct outbox_task *from;
	struct text text;
	bool is_end;
};

/* In `due`, by `not_before`, exactly while `progress` is not empty. */
struct outbox_task {
	TAILQ_ENTRY(outbox_task) link;
	int64_t id;
	struct text progress; /* the newest, as a message */
	struct mono not_before;
	bool has_key, ended;
	int messages; /* of it in the queue; its memory stays until 0 */
	size_t bytes;
};

struct outbox {
	struct event_base *base;
	struct redis_address address; /* owned */
	char *cluster;		      /* owned */
	struct scoreboard *board;
	struct redis *redis; /* NULL: nothing was ever to be sent */
	struct event *timer; /* of the first that is due later */
	TAILQ_HEAD(, message) queue;
	TAILQ_HEAD(outbox_due, outbox_task) due;
	size_t bytes;
	uint64_t dropped;
	bool complained_once;
	struct mono complained;
};

static void pump(struct outbox *outbox);

/* Counted, and told once a minute. */
static void
dropped(struct outbox *outbox)
{
	struct mono now = mono_now();

	outbox->dropped++;
	scoreboard_count(outbox->board, SCOREBOARD_STREAM_DROPPED, 1);
	if (outbox->complained_once &&
	    mono_ms_between(outbox->complained, now) < COMPLAIN_MS)
		return;
	outbox->complained_once = true;
	outbox->complained = now;
	log_notice("what tasks tell is dropped, %" PRIu64 " messages so far: "
		   "redis is away or slower than they are",
	    outbox->dropped);
}

/* Sending. */

static void
on_reply(const char *const *items, size_t count, void *argument)
{
	struct outbox *outbox = argument;

	(void)count;
	if (items == NULL)
		dropped(outbox);
	pump(outbox);
}

static int
send_words(struct outbox *outbox, int argc, const char *const *argv)
{
	size_t lengths[5];

	for (int i = 0; i < argc; i++)
		lengths[i] = strlen(argv[i]);
	return redis_ask(outbox->redis, argc, argv, lengths, on_reply, outbox);
}

static void
add_name(const struct outbox *outbox, const char *what, int64_t id,
    struct text *name)
{
	text_addf(name, "muster:%s:%s:%" PRId64, outbox->cluster, what, id);
}

static int
publish(struct outbox *outbox, int64_t id, const char *message)
{
	struct text channel = TEXT_EMPTY;
	int r;

	add_name(outbox, "task", id, &channel);
	r = send_words(outbox, 3,
	    (const char *[]){"PUBLISH", text_string(&channel), message});
	text_free(&channel);
	if (r == 0)
		scoreboard_count(outbox->board, SCOREBOARD_STREAMED, 1);
	return r;
}

static int
keep(struct outbox *outbox, struct outbox_task *task, const char *message)
{
	struct text key = TEXT_EMPTY, seconds = TEXT_EMPTY;
	int r;

	add_name(outbox, "progress", task->id, &key);
	text_add_int(&seconds, OUTBOX_KEY_S);
	r = send_words(outbox, 5,
	    (const char *[]){"SET", text_string(&key), message, "EX",
		text_string(&seconds)});
	text_free(&key);
	text_free(&seconds);
	task->has_key = true;
	return r;
}

static int
remove_key(struct outbox *outbox, const struct outbox_task *task)
{
	struct text key = TEXT_EMPTY;
	int r;

	add_name(outbox, "progress", task->id, &key);
	r = send_words(outbox, 2, (const char *[]){"DEL", text_string(&key)});
	text_free(&key);
	return r;
}

static void
forget_if_done(struct outbox_task *task)
{
	if (!task->ended || task->messages > 0)
		return;
	text_free(&task->progress);
	free(task);
}

static void
forget_message(struct outbox *outbox, struct message *message)
{
	struct outbox_task *task = message->from;
	size_t bytes = message->text.length + MESSAGE_COST;

	TAILQ_REMOVE(&outbox->queue, message, link);
	outbox->bytes -= bytes;
	task->bytes -= bytes;
	task->messages--;
	text_free(&message->text);
	free(message);
	forget_if_done(task);
}

/* False: Redis takes no more for now. */
static bool
send_message(struct outbox *outbox, struct message *message)
{
	const struct outbox_task *task = message->from;

	if (publish(outbox, task->id, text_string(&message->text)) < 0)
		return false;
	if (message->is_end && task->has_key && remove_key(outbox, task) < 0)
		log_debug("the key of task %" PRId64 " will end by its time",
		    task->id);
	forget_message(outbox, message);
	return true;
}

static bool
send_progress(struct outbox *outbox, struct outbox_task *task)
{
	const char *message = text_string(&task->progress);

	if (publish(outbox, task->id, message) < 0)
		return false;
	if (keep(outbox, task, message) < 0)
		log_debug("the last progress of task %" PRId64 " is not kept",
		    task->id);
	TAILQ_REMOVE(&outbox->due, task, link);
	text_clear(&task->progress);
	task->not_before = mono_add_ms(mono_now(), OUTBOX_PAUSE_MS);
	return true;
}

/* False: nothing is left to do, or nothing more can be done for now. */
static bool
send_next(struct outbox *outbox, struct mono now)
{
	struct outbox_task *task = TAILQ_FIRST(&outbox->due);
	struct message *message = TAILQ_FIRST(&outbox->queue);

	if (redis_pending(outbox->redis) >= OUTBOX_WINDOW)
		return false;
	if (task != NULL && mono_us_between(task->not_before, now) >= 0)
		return send_progress(outbox, task);
	return message != NULL && send_message(outbox, message);
}

static void
pump(struct outbox *outbox)
{
	struct mono now = mono_now();
	const struct outbox_task *task;
	int64_t us;

	if (outbox->redis == NULL || !redis_is_up(outbox->redis))
		return;
	while (send_next(outbox, now))
		;
	task = TAILQ_FIRST(&outbox->due);
	if (task == NULL)
		return;
	us = mono_us_between(now, task->not_before);
	if (us > 0)
		event_add(outbox->timer, &(struct timeval){.tv_usec = us});
}

static void
on_timer(evutil_socket_t fd, short what, void *argument)
{
	struct busy busy = busy_enter("progress of tasks");

	(void)fd, (void)what;
	pump(argument);
	busy_leave(busy);
}

static void
on_redis(bool up, const char *reason, void *argument)
{
	if (up)
		pump(argument);
	else
		log_debug("nothing is streamed: %s", reason);
}

/* Taking in. */

static void
wish(struct outbox *outbox)
{
	if (outbox->redis == NULL)
		outbox->redis =
		    redis_new(outbox->base, &outbox->address, on_redis, outbox);
	pump(outbox);
}

static struct outbox_task *
task_of(struct outbox_task **task, int64_t id)
{
	if (*task != NULL)
		return *task;
	*task = calloc(1, sizeof(**task));
	if (*task == NULL)
		abort();
	(*task)->id = id;
	return *task;
}

static void
begin_message(struct text *text, const char *type, int64_t id)
{
	int64_t ms = wall_now_us() / 1000;

	text_addf(text,
	    "{\"v\":1,\"type\":\"%s\",\"task\":\"%" PRId64 "\",\"at\":%" PRId64
	    ".%03d",
	    type, id, ms / 1000, (int)(ms % 1000));
}

/* Takes the text over; false: it does not fit. */
static bool
enqueue(struct outbox *outbox, struct outbox_task *task, struct text *text,
    bool is_end)
{
	size_t bytes = text->length + MESSAGE_COST;
	struct message *message;

	if (outbox->bytes + bytes > (is_end ? ENDS_MAX : OUTBOX_MAX) ||
	    (!is_end && task->bytes + bytes > OUTBOX_TASK_MAX)) {
		text_free(text);
		dropped(outbox);
		return false;
	}
	message = calloc(1, sizeof(*message));
	if (message == NULL)
		abort();
	message->from = task;
	message->text = *text;
	message->is_end = is_end;
	*text = TEXT_EMPTY;
	TAILQ_INSERT_TAIL(&outbox->queue, message, link);
	outbox->bytes += bytes;
	task->bytes += bytes;
	task->messages++;
	return true;
}

/* By time; it nearly always belongs at the end. */
static void
make_due(struct outbox *outbox, struct outbox_task *task)
{
	struct outbox_task *before = TAILQ_LAST(&outbox->due, outbox_due);

	while (before != NULL &&
	       mono_us_between(before->not_before, task->not_before) < 0)
		before = TAILQ_PREV(before, outbox_due, link);
	if (before != NULL)
		TAILQ_INSERT_AFTER(&outbox->due, before, task, link);
	else
		TAILQ_INSERT_HEAD(&outbox->due, task, link);
}

void
outbox_progress(struct outbox *outbox, struct outbox_task **told, int64_t id,
    double fraction, const char *note, size_t note_size)
{
	struct outbox_task *task = task_of(told, id);
	struct text clean = TEXT_EMPTY;
	bool was_due = task->progress.length > 0;

	if (!(fraction > 0))
		fraction = 0;
	else if (fraction > 1)
		fraction = 1;
	text_clear(&task->progress);
	begin_message(&task->progress, "progress", id);
	text_addf(&task->progress, ",\"fraction\":%.6g,\"note\":", fraction);
	text_add_utf8(&clean, note, note_size, OUTBOX_NOTE_MAX);
	text_add_json_string(
	    &task->progress, text_string(&clean), clean.length);
	text_add_char(&task->progress, '}');
	text_free(&clean);
	if (!was_due)
		make_due(outbox, task);
	wish(outbox);
}

void
outbox_chunk(struct outbox *outbox, struct outbox_task **told, int64_t id,
    const char *data, size_t size)
{
	struct outbox_task *task = task_of(told, id);
	struct text text = TEXT_EMPTY;

	if (size > OUTBOX_CHUNK_MAX) {
		dropped(outbox);
		return;
	}
	begin_message(&text, "chunk", id);
	text_add_string(&text, ",\"data\":");
	text_add(&text, data, size);
	text_add_char(&text, '}');
	if (enqueue(outbox, task, &text, false))
		wish(outbox);
}

static void
tell_end(struct outbox *outbox, struct outbox_task *task, const char *outcome)
{
	struct text text = TEXT_EMPTY;

	if (task->progress.length > 0) {
		text_add(&text, task->progress.data, task->progress.length);
		(void)enqueue(outbox, task, &text, true); /* dropped: counted */
	}
	begin_message(&text, "end", task->id);
	text_addf(&text, ",\"outcome\":\"%s\"}", outcome);
	(void)enqueue(outbox, task, &text, true);
}

void
outbox_end(
    struct outbox *outbox, struct outbox_task **told, const char *outcome)
{
	struct outbox_task *task = *told;

	if (task == NULL)
		return;
	*told = NULL;
	if (outcome != NULL)
		tell_end(outbox, task, outcome);
	if (task->progress.length > 0)
		TAILQ_REMOVE(&outbox->due, task, link);
	text_clear(&task->progress);
	task->ended = true;
	forget_if_done(task);
	wish(outbox);
}

/* Life. */

struct outbox *
outbox_new(struct event_base *base, const struct redis_address *address,
    const char *cluster, struct scoreboard *board)
{
	struct outbox *outbox = calloc(1, sizeof(*outbox));

	if (outbox == NULL)
		abort();
	outbox->base = base;
	redis_address_copy(address, &outbox->address);
	outbox->cluster = strdup(cluster);
	outbox->board = board;
	outbox->timer = evtimer_new(base, on_timer, outbox);
	if (outbox->cluster == NULL || outbox->timer == NULL)
		abort();
	TAILQ_INIT(&outbox->queue);
	TAILQ_INIT(&outbox->due);
	return outbox;
}

static void
on_flush_limit(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	*(bool *)argument = true;
}

void
outbox_flush(struct outbox *outbox, int limit_ms)
{
	bool over = false;
	struct event *limit;

	if (outbox == NULL || outbox->redis == NULL)
		return;
	limit = evtimer_new(outbox->base, on_flush_limit, &over);
	if (limit == NULL)
		abort();
	event_add(limit, &(struct timeval){.tv_sec = limit_ms / 1000,
			     .tv_usec = limit_ms % 1000 * 1000});
	while (
	    !over && redis_is_up(outbox->redis) &&
	    (!TAILQ_EMPTY(&outbox->queue) || redis_pending(outbox->redis) > 0))
		event_base_loop(outbox->base, EVLOOP_ONCE);
	event_free(limit);
}

struct outbox *
outbox_free(struct outbox *outbox)
{
	struct message *message;

	if (outbox == NULL)
		return NULL;
	outbox->redis = redis_free(outbox->redis);
	while ((message = TAILQ_FIRST(&outbox->queue)) != NULL)
		forget_message(outbox, message);
	event_free(outbox->timer);
	redis_address_free(&outbox->address);
	free(outbox->cluster);
	free(outbox);
	return NULL;
}
