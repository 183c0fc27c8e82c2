/*
 * The worker's events (daemon/event.h): what its tasks come to, told once it is
 * true, and that the worker is up or down. Without Redis there are none.
 */
#ifndef DAEMON_WORKER_ANNOUNCE_H
#define DAEMON_WORKER_ANNOUNCE_H

#include <stddef.h>

#include "common/clock.h"

struct running;
struct worker;

enum {
	ANNOUNCE_PROGRESS_MS = 100, /* between two of a task's */
	ANNOUNCE_FLUSH_MS = 2000,   /* at most, at the end of the worker */
};

/* After the heartbeat's, whose connection it uses. */
void announce_open(struct worker *worker);
/* Sends what is left, as far as the limit of the drain allows. */
void announce_flush(struct worker *worker);
/* After the heartbeat's. */
void announce_close(struct worker *worker);

/* Its handler has it. */
void announce_started(struct worker *worker, const struct running *running);
void announce_progress(struct worker *worker, struct running *running,
    double fraction, const char *note, size_t note_size);
/* PostgreSQL has recorded its outcome. */
void announce_recorded(
    struct worker *worker, const struct running *running, struct mono now);

/* The worker is registered, and again after each reconnect. */
void announce_up(struct worker *worker);
/* It left in order. */
void announce_down(struct worker *worker);

#endif
