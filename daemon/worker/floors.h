/*
 * The floors of a worker: for each (route, rank, lane) the sequence number
 * from which on a claim has to look. They are hints from the last turns: they
 * may delay a claim, never lose one, so they may be forgotten at any time.
 */
#ifndef DAEMON_WORKER_FLOORS_H
#define DAEMON_WORKER_FLOORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FLOORS_MAX = 4096 }; /* beyond it all are forgotten */

struct floor {
	int32_t route, rank, lane;
	int64_t seq;
};

struct floors {
	struct floor *items; /* owned; in the order of route, rank, lane */
	size_t count, capacity;
};

void floors_set(struct floors *floors, const struct floor *floor);
void floors_forget(struct floors *floors); /* also at the end */

/* The first floor of `route`, and their number in `ret_count`; NULL: none. */
const struct floor *floors_of(
    const struct floors *floors, int32_t route, size_t *ret_count);

#endif
