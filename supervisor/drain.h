/*
 * The end of the daemon, with one deadline that is set at its start and only
 * ever moves forward.
 *
 *   OFF → WORKERS → REPORTS → SCHEDULER → HANDLERS → (exit)
 *
 * WORKERS    until every worker has finished or handed back what it held; at
 *            the deadline they are killed
 * REPORTS    until the scheduler has rescued what killed workers held
 * SCHEDULER  until it is gone
 * HANDLERS   until no process that handlers left behind lives
 */
#ifndef SUPERVISOR_DRAIN_H
#define SUPERVISOR_DRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

struct event;
struct supervisor;

enum drain_phase {
	DRAIN_OFF,
	DRAIN_WORKERS,
	DRAIN_REPORTS,
	DRAIN_SCHEDULER,
	DRAIN_HANDLERS,
};

struct drain {
	enum drain_phase phase;
	struct mono since, deadline;
	bool hurried;
	bool unrecorded; /* PostgreSQL was not told of something: exit 75 */
	struct event *limit;
};

/* The first time gracefully; again, more than a second later: at once.
 * `reason` is a word for the log: "SIGTERM". */
void drain_begin(struct supervisor *supervisor, const char *reason);
void drain_step(struct supervisor *supervisor);
void drain_open(struct supervisor *supervisor);
void drain_close(struct supervisor *supervisor);

/* Until the deadline. */
int64_t drain_left_ms(const struct supervisor *supervisor);

#endif
