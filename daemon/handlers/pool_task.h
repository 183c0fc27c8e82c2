/*
 * A task in a pool: waits for a process, is sent to one, is answered.
 *
 *   WAITING ──→ SENT ──→ TOLD      TOLD: the process was told to cancel it
 */
#ifndef DAEMON_HANDLERS_POOL_TASK_H
#define DAEMON_HANDLERS_POOL_TASK_H

#include <sys/queue.h>

#include "daemon/handlers/handler.h"

struct pool_member;

enum pool_task_state { POOL_TASK_WAITING, POOL_TASK_SENT, POOL_TASK_TOLD };

struct pool_task {
	uint32_t magic;
	enum pool_task_state state;
	TAILQ_ENTRY(pool_task) link; /* of the pool's or a member's */
	struct task *task;
	struct pool_member *member; /* NULL: waits */
	uint64_t end; /* of its message among all bytes for the member */
	struct mono term_at, kill_at; /* TOLD: when its process gets signals */
};

TAILQ_HEAD(pool_task_list, pool_task);

struct pool_task *pool_task_new(struct handler *pool, struct task *task);
struct pool_task *pool_task_of(const struct task *task);

/* Reports its outcome and forgets it; it must be in no list any more. */
void pool_task_report(struct handler *pool, struct pool_task *task,
    const struct outcome *outcome);
void pool_task_report_error(struct handler *pool, struct pool_task *task,
    enum outcome_kind kind, const char *error, int64_t after_ms);

/* Of those whose outcome was reported, which are kept for the next ones. */
void pool_task_free_spare(struct handler *pool);

#endif
