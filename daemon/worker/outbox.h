/*
 * What tasks tell, on its way to Redis: channel muster:{cluster}:task:<id> gets
 * one JSON object a message (progress, chunk, end), key
 * muster:{cluster}:progress:<id> holds the last progress while the task runs.
 *
 * Nobody waits for it. Of each task's progress only the newest is kept until
 * it may go, at most one in OUTBOX_PAUSE_MS; chunks wait in a queue that is
 * bounded by bytes, for each task and for all. What does not fit, or was under
 * way when Redis went away, is dropped and counted. The connection is made
 * when the first word is to be sent.
 */
#ifndef DAEMON_WORKER_OUTBOX_H
#define DAEMON_WORKER_OUTBOX_H

#include <stddef.h>
#include <stdint.h>

#include "common/redis.h"
#include "common/scoreboard.h"

struct event_base;
struct outbox;
struct outbox_task; /* one that told something; the outbox's */

enum {
	OUTBOX_PAUSE_MS = 50,	/* between two progresses of a task */
	OUTBOX_NOTE_MAX = 1024, /* bytes of a note; longer ones are cut */
	OUTBOX_CHUNK_MAX = 256 * 1024,
	OUTBOX_TASK_MAX = 1024 * 1024, /* bytes that wait, of one task */
	OUTBOX_MAX = 4 * 1024 * 1024,  /* of all */
	OUTBOX_WINDOW = 256,	       /* commands whose answer is awaited */
	OUTBOX_KEY_S = 3600,
};

/* Copies address and cluster; counts in `board`. */
struct outbox *outbox_new(struct event_base *base,
    const struct redis_address *address, const char *cluster,
    struct scoreboard *board);
struct outbox *outbox_free(struct outbox *outbox); /* NULL ok; returns NULL */

/* `*task` is NULL before a task's first word, and belongs to its end. Notes
 * are any bytes, chunks valid JSON. */
void outbox_progress(struct outbox *outbox, struct outbox_task **task,
    int64_t id, double fraction, const char *note, size_t note_size);
void outbox_chunk(struct outbox *outbox, struct outbox_task **task, int64_t id,
    const char *data, size_t size);
/* The task ended, or (`outcome` NULL) is somebody else's now, who is not to be
 * disturbed. Sets `*task` to NULL; does nothing when it is. */
void outbox_end(
    struct outbox *outbox, struct outbox_task **task, const char *outcome);

/* Lets the loop turn until all is sent, at most so long, and only while Redis
 * is there. */
void outbox_flush(struct outbox *outbox, int limit_ms);

#endif
