/*
 * The one interface between a worker and the ways a task is run. A handler
 * starts tasks, reports an outcome for each exactly once, and can be told to
 * cancel one. It knows nothing of SQL, leases or other handlers.
 */
#ifndef DAEMON_HANDLERS_HANDLER_H
#define DAEMON_HANDLERS_HANDLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/scoreboard.h"

struct event_base;
struct handler;

/* A task as a handler sees it. Everything is owned by the worker and lives
 * until the outcome was reported. */
struct task {
	int64_t id, flow, lease, worker;
	int attempt;
	int rescues; /* workers that died while it ran, or may have */
	const char *kind, *queue;
	const char *payload; /* JSON text as PostgreSQL gave it */
	size_t payload_size;
	const char *inputs; /* JSON text; NULL: it has no needs */
	size_t inputs_size;
	struct mono started;
	int64_t timeout_ms, grace_ms; /* resolved */
	int scoreboard_slot;
	void *state; /* the handler's own */
};

enum outcome_kind {
	OUTCOME_SUCCEEDED,
	OUTCOME_FAILED,	     /* this attempt; retried while attempts remain */
	OUTCOME_FAILED_HARD, /* for good */
	OUTCOME_TRY_LATER,   /* retried, the attempt is not charged */
	OUTCOME_CANNOT_RUN,  /* as before; shown in status (126, 127) */
	OUTCOME_CANCELLED,   /* ended as worker asked by handler_cancel */
	OUTCOME_NOT_BEGUN,   /* it had to wait: handed back, as if never
				claimed */
	OUTCOME_RECORDED,    /* already finished in PostgreSQL by the handler's
				own transaction (sql) */
};

/* Why the worker cancels a task; the worker turns it into the final outcome. */
enum cancel_reason {
	CANCEL_ASKED,	 /* by a person or the flow */
	CANCEL_TIMEOUT,	 /* its time limit */
	CANCEL_SHUTDOWN, /* the drain's deadline: handed back uncharged */
	CANCEL_FENCED,	 /* no longer ours: the result counts for nothing */
};

/* What came of a task. The strings are valid during the call. */
struct outcome {
	enum outcome_kind kind;
	const char *result; /* JSON text, valid; NULL: null */
	size_t result_size;
	const char *error; /* any bytes; NULL: none */
	size_t error_size;
	int64_t after_ms;     /* FAILED, TRY_LATER: when again, the handler's
				 wish; -1: none */
	const char *trace_id; /* of the attempt, for the log; NULL: none */
};

typedef void handler_done_cb(
    struct task *task, const struct outcome *outcome, void *argument);

/* How a call of a function inside the database ended. */
enum call_end {
	CALL_RECORDED,	/* done, and the task is finished with it */
	CALL_FAILED,	/* it raised: nothing of it took effect */
	CALL_REFUSED,	/* as before, and would each time: for good */
	CALL_CANCELLED, /* as asked */
	CALL_NOT_BEGUN, /* no connection was free for too long */
	CALL_LOST,	/* no connection, or it broke: perhaps done */
};

/* `error` (valid during the call) says what
 * went wrong; "" when nothing did. */
typedef void handler_called_cb(
    struct task *task, enum call_end end, const char *error, void *handler);

/*
 * Calls a function with a task and finishes the task, in one transaction. The
 * answer comes later, exactly once; `argument` is the host's.
 */
struct handler_database {
	void (*call)(void *argument, struct task *task, const char *function,
	    const char *role, handler_called_cb *on_called, void *handler);
	/* As handler_ops.cancel. */
	void (*cancel)(void *argument, struct task *task, int64_t grace_ms);
};

/* While a task runs: how far it is (0 to 1) with a note for people ("" if none,
 * valid UTF-8), and pieces of its result as they come (valid JSON each). They
 * go to whoever is looking, and to nobody otherwise; the strings are valid
 * during the call. */
typedef void handler_progress_cb(struct task *task, double fraction,
    const char *note, size_t note_size, void *argument);
typedef void handler_chunk_cb(
    struct task *task, const char *data, size_t size, void *argument);

/* For status and log: a part of this process is lost to a handler. `replace`:
 * it is of no use for it any more, the worker is to end and another one to
 * start. */
typedef void handler_damage_cb(const char *text, bool replace, void *argument);

/* A handler that puts tasks into a line of its own says when one's turn has
 * come: its time limit counts from here (handler_ops.begins_later). */
typedef void handler_begun_cb(struct task *task, void *argument);

/* Takes in what programs have written about their tasks into the worker's FIFO.
 * To be called by those who start programs, between the moment they learn of
 * an end and their report of it, once for all ends learnt of together. */
typedef void handler_catch_up_cb(void *argument);

/* What handler_ops.capacity gives has changed, or handler_ops.drain has come
 * nearer to its end. */
typedef void handler_changed_cb(void *argument);

/* What people should know of a handler of `kind` that does not work. */
typedef void handler_trouble_cb(
    const char *kind, const char *text, void *argument);

/* This worker's part of what all workers of the instance share. */
typedef int handler_part_cb(int total, void *argument);

/* What a handler may use of its worker. */
struct handler_host {
	struct event_base *base;
	struct scoreboard *scoreboard;
	const struct handler_database *database;
	const struct config *config; /* of the handler's generation */
	handler_done_cb *on_done;
	handler_progress_cb *on_progress;
	handler_chunk_cb *on_chunk;
	handler_begun_cb *on_begun;
	handler_catch_up_cb *catch_up;
	handler_changed_cb *on_changed;
	handler_trouble_cb *on_trouble;
	handler_damage_cb *on_damage;
	handler_part_cb *part;
	void *argument;
};

struct handler_ops {
	const char *name;
	/* It does not read these: they are not fetched for it, and NULL. */
	bool ignores_payload, ignores_inputs;
	bool begins_later; /* it calls host->on_begun for each task */
	struct handler *(*open)(const struct handler_host *host,
	    const struct handler_config *config);
	/* Why it can run nothing now; NULL: it can. NULL: always. */
	const char *(*trouble)(struct handler *handler);
	/* Starts; the outcome may be reported before it returns. */
	void (*start)(struct handler *handler, struct task *task);
	/* Tells, waits `grace_ms`, then kills. Harmless when repeated; a
	 * stronger call (shorter grace) shortens. */
	void (*cancel)(struct handler *handler, struct task *task,
	    enum cancel_reason reason, int64_t grace_ms);
	/* How many tasks it can have at a time, for now; NULL: any number. */
	int (*capacity)(struct handler *handler);
	/* The worker ends: lets go, in peace, of what it keeps for tasks to
	 * come, and returns how much of it is left. Called again until there
	 * is nothing or the time is up. NULL: it keeps nothing. */
	int (*drain)(struct handler *handler);
	/* Another one has its place: no task comes any more, and what it
	 * keeps beyond those it has begun is to go. NULL: it keeps nothing. */
	void (*retire)(struct handler *handler);
	/* No task of it runs any more. */
	void (*close)(struct handler *handler);
};

extern const struct handler_ops handler_exec, handler_sql, handler_noop,
    handler_sleep, handler_pool, handler_http, handler_plugin;

const struct handler_ops *handler_ops_of(enum handler_type type);

#endif
