/*
 * A process of a pool, from its start until it is gone and its tasks have
 * their outcomes.
 *
 *   STARTING ──hello──→ READY ──→ DRAINING     no task is added any more
 *      │                  │           │
 *      └──────────────────┴───────────┴──→ TOLD ──→ KILLED
 *
 * STARTING has start_timeout; in READY a cancelled task has its grace, half a
 * line MEMBER_LINE_MS and a write MEMBER_STUCK_MS; DRAINING ends its tasks and
 * then has the kind's grace; TOLD has had SIGTERM, KILLED SIGKILL, again now
 * and then. Each state is left for good when the process ends, which is seen
 * by its pidfd; whoever breaks the protocol is KILLED at once.
 */
#ifndef DAEMON_HANDLERS_POOL_MEMBER_H
#define DAEMON_HANDLERS_POOL_MEMBER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/text.h"
#include "daemon/handlers/pool_task.h"

struct handler;
struct pool_member_parts;

enum pool_member_state {
	MEMBER_STARTING,
	MEMBER_READY,
	MEMBER_DRAINING,
	MEMBER_TOLD,
	MEMBER_KILLED,
};

/* What the pool may read. */
struct pool_member {
	TAILQ_ENTRY(pool_member) link;
	struct handler *pool;
	enum pool_member_state state;
	struct pool_task_list tasks; /* in the order they were sent in */
	int running, told;	     /* of them all; cancelled */
	int concurrency;	     /* 0: no hello yet */
	int64_t answered;
	bool full;  /* too much waits to be written */
	bool dirty; /* something new waits to be written */
	bool worn;  /* to be replaced */
	pid_t pid;
	struct mono started, idle_since;
	struct pool_member_parts *parts; /* the member's own */
};

TAILQ_HEAD(pool_member_list, pool_member);

/* Starts a process. NULL: `ret_error` says why not, `ret_later` whether that
 * may pass by itself. The pool hears of the rest by pool_member_…. */
struct pool_member *pool_member_new(
    struct handler *pool, struct text *ret_error, bool *ret_later);

/* Whether a task may be added, and adding one: false if it is too large for a
 * message. It goes out with the next flush. */
bool pool_member_has_room(const struct pool_member *member);
bool pool_member_run(struct pool_member *member, struct pool_task *task)
    __attribute__((warn_unused_result));
void pool_member_flush(struct pool_member *member);

/* A task of it is to end by then. */
void pool_member_cancel(struct pool_member *member, struct pool_task *task,
    enum cancel_reason reason, int64_t grace_ms);

/* It is not needed any more: ends its tasks, then itself. */
void pool_member_drain(struct pool_member *member);
/* At once, whatever it runs. */
void pool_member_kill(struct pool_member *member);

/* Resident bytes; 0: not known. */
int64_t pool_member_memory(const struct pool_member *member);

#endif
