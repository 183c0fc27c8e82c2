/*
 * What a worker shows of a pool in its scoreboard, for people: written whole
 * when a process of it changes, and once a second while it has any. Believed
 * by nobody, as everything in there.
 */
#ifndef COMMON_SCOREBOARD_POOL_H
#define COMMON_SCOREBOARD_POOL_H

#include <stdbool.h>
#include <stdint.h>

struct scoreboard;

enum { SCOREBOARD_POOLS = 256 };

struct scoreboard_pool {
	uint32_t sequence; /* odd while being written */
	uint32_t used;
	char kind[104];
	/* Processes: busy ones are ready, too. */
	uint32_t max, starting, ready, busy, ending;
	uint32_t running, waiting; /* tasks: in a process, in line for one */
	uint32_t started, crashed; /* processes, ever */
	uint32_t failures;	   /* in a row, without a task done */
	int64_t next_start_us;	   /* monotonic: none is started before; 0: any
				      time */
	int64_t crashed_us;	   /* monotonic: the last one; 0: none */
	char error[512];	   /* of that */
};

/* Writer: a place of its own, NULL: there is none left. What is written is
 * `now`, but for the sequence. */
struct scoreboard_pool *scoreboard_pool_begin(struct scoreboard *board);
void scoreboard_pool_write(
    struct scoreboard_pool *place, const struct scoreboard_pool *now);
void scoreboard_pool_end(struct scoreboard_pool *place);

/* Reader: false: there is none at this index, or not a whole one. */
bool scoreboard_pool(const struct scoreboard *board, int index,
    struct scoreboard_pool *ret_pool);

#endif
