/*
 * What the event loop of this process is doing. Each callback of any length
 * names itself; the name stands in the scoreboard, where the watchdog reads
 * it, and one that held the loop for too long is logged with its name.
 *
 * State of the process, as the log is: a process has one loop. Until
 * busy_open was called nothing is recorded and everything may be called.
 */
#ifndef COMMON_BUSY_H
#define COMMON_BUSY_H

#include "common/clock.h"

struct scoreboard;

/* What ran before, for busy_leave: callbacks nest. */
struct busy {
	const char *before;
	struct mono since;
};

/* From now on names go to `board`; a callback that takes longer than
 * `slow_ms` is logged, at most once a second. NULL ends it. */
void busy_open(struct scoreboard *board, int64_t slow_ms);

/* `name`: a string literal. Every enter has its leave, in order. */
struct busy busy_enter(const char *name);
void busy_leave(struct busy busy);

#endif
