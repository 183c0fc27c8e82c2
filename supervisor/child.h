/*
 * One process that the supervisor started, from its fork to its end.
 *
 *   STARTING ──READY──→ RUNNING ──→ DRAINING ──DRAINED──→ ENDING ──→ (gone)
 *      │                   │           │                    │
 *      └──────no tick──────┴───────────┴─→ ABORTING ─1 s─→ KILLING → (gone)
 *
 * STARTING  until READY; no limit: a database may be away for long
 * DRAINING  told to end, by the limit it was told (none for a reload)
 * ENDING    its channel is closed or it is done: gone within 5 s, or KILLING
 * ABORTING  SIGABRT was sent, for a core, and SIGCONT; 1 s
 * KILLING   SIGKILL was sent
 *
 * At its end, whatever the state, its handlers' groups are killed, its last
 * words are read, and a worker that still held leases is reported.
 */
#ifndef SUPERVISOR_CHILD_H
#define SUPERVISOR_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/clock.h"
#include "common/procmsg.h"

struct event;
struct generation;
struct place;
struct procmsg_channel;
struct scoreboard;
struct supervisor;

enum child_state {
	CHILD_STARTING,
	CHILD_RUNNING,
	CHILD_DRAINING,
	CHILD_ENDING,
	CHILD_ABORTING,
	CHILD_KILLING,
};

struct child {
	uint32_t magic;
	enum child_state state;
	struct supervisor *supervisor;
	struct place *place;
	pid_t pid;
	struct generation *generation; /* it was started with; a use of it */
	uint64_t taken;		       /* number of the one it uses */
	struct procmsg_channel *channel;
	struct scoreboard *board; /* owned */
	int wake_fd;		  /* worker: eventfd; owned; -1 */
	int key;		  /* worker: its number for the scheduler */
	int64_t worker_id;	  /* 0: not registered */
	struct mono started;
	bool asked;   /* was told to drain */
	bool hung;    /* its loop stood still */
	bool worked;  /* was READY once */
	bool drained; /* said so */
	uint32_t unrecorded;
	char status[256]; /* what it says of itself */
	char name[32];	  /* "worker 3", "scheduler" */
	struct event *limit;
	/* watchdog */
	int64_t seen_tick_us, quiet_ms;
};

/*
 * Starts the process for `place` with `generation`. A worker is handed the
 * boards of all that serve or leave. NULL when the system has no room for a
 * process or a descriptor (logged).
 */
struct child *child_start(struct place *place, struct generation *generation);

/* Sends a message; a channel that does not take it is broken, and the child
 * ends by that. */
void child_send(struct child *child, enum procmsg_type type, const void *body,
    size_t size, int fd);
/* Take over the configuration of `generation`; a worker is handed boards as at
 * its start. */
void child_reconfigure(struct child *child, struct generation *generation);
/* End: tasks are cancelled after `cancel_ms`, the process killed after
 * `gone_ms`. Again: shorter. PROCMSG_NO_LIMIT_MS: no limit. */
void child_drain(struct child *child, int64_t cancel_ms, int64_t gone_ms);
/* SIGABRT, also where it is stopped, a second, SIGKILL. */
void child_abort(struct child *child);
void child_kill(struct child *child);

/* Does the loop of this child have to turn? */
bool child_has_loop(const struct child *child);
/* How many tasks run in it, by its board. */
int child_tasks(const struct child *child);
const char *child_state_name(const struct child *child);

#endif
