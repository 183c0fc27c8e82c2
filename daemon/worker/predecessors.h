/*
 * The workers of this instance that leave, or are to leave once we are ready:
 * what they run takes slots of the same concurrency, so neither a reload nor
 * another number of workers raises it; until the last of them drains they have
 * all slots. Their scoreboards tell.
 */
#ifndef DAEMON_WORKER_PREDECESSORS_H
#define DAEMON_WORKER_PREDECESSORS_H

#include <stdbool.h>

struct event;
struct scoreboard;
struct worker;

enum { PREDECESSORS_LOOK_MS = 100 };

struct predecessors {
	struct scoreboard **boards; /* owned, as is each */
	int count;		    /* of those that are not over */
	int tasks;		    /* that they ran when last looked */
	bool serve;		    /* one of them was not draining then */
	struct event *timer;
};

/* Takes over `boards`. */
void predecessors_open(
    struct worker *worker, struct scoreboard **boards, int count);
void predecessors_close(struct worker *worker);

/* Counts anew what is taken of the worker's shares; their limits follow from
 * it (worker_share_out). */
void predecessors_look(struct worker *worker);

#endif
