/*
 * A new configuration: read by a process of its own, compared, applied.
 *
 *   IDLE → CHECKING ─wrong, unchanged→ (verdict) → IDLE
 *             ↓ right
 *          WAITING   until the last generation's children have left
 *             ├─in place──→ TAKING     until every child uses it → verdict
 *             └─new ones──→ REPLACING  until all are READY; then the old ones
 *                                      leave → verdict; one that dies, or the
 *                                      time limit → the old ones stay, refused
 *
 * One that is asked for while one is under way is merged into the next.
 */
#ifndef SUPERVISOR_RELOAD_H
#define SUPERVISOR_RELOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"

struct check;
struct event;
struct generation;
struct supervisor;

enum reload_step {
	RELOAD_IDLE,
	RELOAD_CHECKING,
	RELOAD_WAITING,
	RELOAD_TAKING,
	RELOAD_REPLACING,
};

struct reload {
	enum reload_step step;
	uint64_t number; /* of the one under way, else of the last */
	bool again;	 /* asked for meanwhile */
	struct check *check;
	struct generation *next; /* checked and not in force yet */
	enum config_change change;
	struct event *limit;
	char *refused; /* why the last one was; NULL: it was not; owned */
};

/* Asks for one; returns the number of the reload that will cover it. */
uint64_t reload_request(struct supervisor *supervisor);
/* Facts have changed. */
void reload_step(struct supervisor *supervisor);
/* A coming child ended before it was READY. */
void reload_failed(struct supervisor *supervisor, const char *reason);
/* The daemon drains: none is under way any more. */
void reload_abort(struct supervisor *supervisor);
void reload_open(struct supervisor *supervisor);
void reload_close(struct supervisor *supervisor);

#endif
