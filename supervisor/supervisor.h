/*
 * The supervisor: the process that must never die, so it does least. It
 * starts, watches, reloads and drains; it speaks no SQL, runs no handler and
 * reads no task's data.
 *
 *   CHECKING → LOCKING → STARTING → RUNNING → DRAINING → (exit)
 *       └─────────┴──────────┴──── signal or failure ──↑
 *
 * CHECKING  a process reads the configuration
 * LOCKING   children of an earlier supervisor end first, by force if need be
 * STARTING  the scheduler rescues earlier workers, then the workers connect
 * RUNNING   READY=1 was sent; a reload is a matter of reload.h
 * DRAINING  as drain.h draws it
 *
 * Nothing here blocks. Whatever happens to a child marks facts and wakes
 * supervisor_step, which looks at the facts and does what they ask for.
 */
#ifndef SUPERVISOR_SUPERVISOR_H
#define SUPERVISOR_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/text.h"
#include "supervisor/drain.h"
#include "supervisor/place.h"
#include "supervisor/reload.h"

struct check;
struct control;
struct deaths;
struct event;
struct event_base;
struct generation;
struct notify;
struct reaper;

enum supervisor_state {
	SUPERVISOR_CHECKING,
	SUPERVISOR_LOCKING,
	SUPERVISOR_STARTING,
	SUPERVISOR_RUNNING,
	SUPERVISOR_DRAINING,
};

/* Shared by the modules of this folder; each owns the part of its name. */
struct supervisor {
	enum supervisor_state state;
	const char *config_file;
	struct mono started;
	int exit_code;

	struct event_base *base;
	struct reaper *reaper;
	struct notify *notify;
	struct control *control; /* NULL before STARTING */
	struct deaths *deaths;
	struct subtree *subtree;
	int lock_fd; /* -1: not taken yet */

	struct generation *current; /* in force; NULL while CHECKING */
	struct place scheduler;
	struct place **workers; /* by slot; owned; never shrinks */
	int worker_places;
	int log_level; /* set by musterctl; 0: as configured */

	struct check *check; /* of the start */
	struct mono judged;  /* when LOCKING last looked for who hangs */
	struct reload reload;
	struct drain drain;

	struct event *step, *second, *orphans, *watchdog;
	struct mono watched; /* when the watchdog last looked */
	struct event *signals[6];
};

/* Runs until the end; returns the exit code of the process. */
int supervisor_run(const char *config_file);

/* Facts have changed: supervisor_step runs soon, once. */
void supervisor_wake(struct supervisor *supervisor);

/* Ends with this code, at first what runs already. */
void supervisor_fail(struct supervisor *supervisor, int exit_code);

/* "starting", "running", "reloading" or "draining". */
const char *supervisor_state_name(const struct supervisor *supervisor);

#endif
