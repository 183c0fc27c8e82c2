/*
 * What tasks tell while they run, on its way to whoever is looking: from the
 * handlers to the outbox. Without Redis it goes nowhere.
 */
#ifndef DAEMON_WORKER_STREAM_H
#define DAEMON_WORKER_STREAM_H

#include "daemon/handlers/handler.h"
#include "daemon/worker/verdict.h"

struct running;
struct worker;

enum { STREAM_FLUSH_MS = 200 }; /* at the end of the worker */

void stream_open(struct worker *worker);
/* Sends what is left. */
void stream_flush(struct worker *worker);
void stream_close(struct worker *worker);

/* `argument` is the worker. */
handler_progress_cb stream_progress;
handler_chunk_cb stream_chunk;

/* The task's handler is done with it. */
void stream_end(
    struct worker *worker, struct running *running, enum verdict verdict);

#endif
