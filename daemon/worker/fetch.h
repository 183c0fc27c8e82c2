/*
 * Payloads larger than a turn carries, one at a time, and inputs of tasks with
 * needs, some at a time: few tasks and few bytes. One fetch is under way at
 * most, and none while the worker holds CLAIM_HELD bytes: it goes on when a
 * task has ended, or at once if none runs. So beyond that limit a worker holds
 * what one fetch brings, which is FETCH_INPUTS_BYTES and the data of one task.
 */
#ifndef DAEMON_WORKER_FETCH_H
#define DAEMON_WORKER_FETCH_H

#include <stdbool.h>
#include <stdint.h>

enum {
	FETCH_INPUTS_MAX = 32,
	FETCH_INPUTS_BYTES = 4 << 20,
};

struct running;
struct worker;

struct fetch {
	bool under_way;
	bool inputs; /* what is under way */
	bool singly; /* a batch was refused: find the one */
	int count;
	int64_t ids[FETCH_INPUTS_MAX];
};

/* Whether its handler has to wait for something. */
bool fetch_is_needed(const struct running *running);
/* Fetches for the tasks that are in worker->fetching; called once a loop turn,
 * too. */
void fetch_next(struct worker *worker);
/* The connection is lost: what was under way is asked for again later. */
void fetch_lost(struct worker *worker);

#endif
