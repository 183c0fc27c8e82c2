/*
 * The finishes of one turn as the array parameters that muster.turn takes, and
 * the search for the one that PostgreSQL refuses.
 */
#ifndef DAEMON_WORKER_BATCH_H
#define DAEMON_WORKER_BATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "common/text.h"
#include "daemon/worker/running.h"

enum {
	BATCH_MAX = 1000,      /* finishes in a turn */
	BATCH_BYTES = 4 << 20, /* of results and errors; one always fits */
	BATCH_KEEP = 64 << 10, /* memory kept for the next turn */
};

/* An array in which most items are the default: it stays `{}` until one is
 * not, which PostgreSQL reads as "all default". */
struct batch_column {
	struct text text;
	size_t filled;
	const char *absent; /* the default, a literal */
};

struct batch {
	size_t count, bytes;
	const struct running *items[BATCH_MAX];
	struct text lease, task, outcome;
	struct batch_column ran, delay, result, error;
};

/* Empties it, or readies a zeroed one. */
void batch_start(struct batch *batch);
bool batch_is_full(const struct batch *batch);
/* It must live until batch_end. */
void batch_add(struct batch *batch, const struct running *running);
/* Writes the arrays, in the order of leases and tasks, so that PostgreSQL needs
 * not search: their strings can be sent now. */
void batch_end(struct batch *batch);
void batch_free(struct batch *batch);

/*
 * The search: a refused batch is sent again by halves; each one that is taken
 * doubles the next, until batches are whole again.
 */
struct bisect {
	size_t limit; /* finishes in the next turn; 0: as many as fit */
};
/* A turn of `count` was refused; true: its only finish is the guilty one. */
bool bisect_refused(struct bisect *bisect, size_t count);
void bisect_taken(struct bisect *bisect, size_t count);
bool bisect_is_searching(const struct bisect *bisect);

#endif
