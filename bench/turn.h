/* A worker that is nothing but turns, on blocking libpq. */
#ifndef BENCH_TURN_H
#define BENCH_TURN_H

#include <libpq-fe.h>
#include <stdint.h>

#include "common/text.h"

enum { TURN_FLOORS = 64 };

struct turn {
	PGconn *connection; /* not owned */
	char worker[24], route[16];
	struct text lease, task, outcome; /* to finish with the next turn */
	struct turn_floor {
		int rank, lane;
		int64_t seq;
	} floors[TURN_FLOORS];
	int floor_count;
};

/* Registers a worker for one queue and one kind. */
void turn_open(
    struct turn *turn, PGconn *connection, const char *queue, const char *kind);
/* Finishes what the last turn claimed and claims up to `want`; how many it
 * got. Every value of every row is looked at. */
int turn_take(struct turn *turn, int want);
void turn_close(struct turn *turn);

#endif
