/*
 * The pool of one kind: tasks that wait, processes that run them, and how many
 * of these there are. For pool*.c alone; to all others it is a handler.
 *
 *   pool.c         tasks in, to a process with room, cancel, the end
 *   pool_size.c    how many processes: starts, pauses, idle ends, recycling
 *   pool_shown.c   what status shows of it
 *   pool_member*.c a process; pool_answer.c what it says of its tasks
 *   pool_message.c, pool_scan.c, pool_write.c   the words on the socket
 */
#ifndef DAEMON_HANDLERS_POOL_H
#define DAEMON_HANDLERS_POOL_H

#include "common/backoff.h"
#include "common/log.h"
#include "daemon/handlers/environment.h"
#include "daemon/handlers/handler.h"
#include "daemon/handlers/pool_member.h"
#include "daemon/handlers/pool_task.h"
#include "daemon/handlers/spawn.h"

struct event;

/* Numbers of processes. */
struct pool_size {
	int min, max;		   /* of this worker */
	int starting, ready, worn; /* ready: worn ones included */
	int concurrency;	   /* of the last one that said hello */
	bool known;		   /* one has */
	int failures;		   /* in a row, without a task done */
	struct backoff backoff;
	bool pausing;		/* no start until the timer has fired */
	struct mono next_start; /* while pausing */
	struct event *pause, *tick;
	int told; /* the capacity the worker knows of */
};

struct handler {
	struct handler_host host;
	const struct handler_config *config; /* not after the close */
	char *kind;			     /* owned */
	/* Its numbers, for processes that end after the close; no pointer
	 * of it may be used then. */
	struct handler_config numbers;
	int64_t grace_ms, start_timeout_ms;
	size_t max_message;
	struct environment *environment;
	struct spawn_limits limits;
	struct pool_task_list waiting, spare;
	int waiting_count, tasks;
	struct pool_member_list members;
	struct pool_size size;
	struct {
		struct scoreboard_pool *place; /* NULL: there is none */
		struct scoreboard_pool now;
	} shown;
	struct event *work; /* gives out tasks, starts, flushes */
	bool draining, retired, closed;
};

/* Soon: gives out what waits, starts what is needed, writes what is new. */
void pool_work_soon(struct handler *pool);

/* A member tells. */
void pool_member_is_ready(struct pool_member *member);
/* It takes no more tasks. */
void pool_member_leaves(
    struct pool_member *member, enum pool_member_state before);
/* A task of it is done. */
void pool_member_has_worked(struct pool_member *member);
/* It is gone and out of every list. `crashed` says how, when it has not ended
 * as it was told to, else NULL; `failed`: and had not done a task. */
void pool_member_is_gone(
    struct handler *pool, bool was_ready, const char *crashed, bool failed);

/* pool_shown.c */
void pool_shown_open(struct handler *pool);
void pool_shown_close(struct handler *pool);
/* After any change but of tasks. */
void pool_shown_update(struct handler *pool);
void pool_shown_started(struct handler *pool);
/* A process has ended as it should not, or did not start. */
void pool_shown_crashed(struct handler *pool, const char *error);

/* pool_size.c */
void pool_size_open(struct handler *pool);
void pool_size_close(struct handler *pool);
int pool_size_capacity(const struct handler *pool);
/* Starts one process if one is needed. */
void pool_size_grow(struct handler *pool);
/* Tells the worker when the capacity has changed. */
void pool_size_tell(struct handler *pool);
/* A start or a process failed: waits before the next. Tasks that wait for
 * nothing else are handed back. */
void pool_size_failed(
    struct handler *pool, enum outcome_kind kind, const char *error);
/* Hands back all tasks that wait. */
void pool_size_give_back(struct handler *pool, enum outcome_kind kind,
    const char *error, int64_t ms);

#endif
