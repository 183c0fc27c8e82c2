/* The inside of the sql pool, shared by daemon/worker/sql_*.c alone. */
#ifndef DAEMON_WORKER_SQL_PARTS_H
#define DAEMON_WORKER_SQL_PARTS_H

#include <stdbool.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/pg.h"
#include "daemon/handlers/handler.h"

struct event;
struct sql_connection;
struct sql_pool;
struct worker;

enum {
	SQL_COMPANY_MAX = 200,	/* calls that share a transaction: a lease */
	SQL_COMPANY_MS = 10,	/* all of them together are to take no more */
	SQL_FAST_US = 2000,	/* a function that takes longer runs alone */
	SQL_PATIENCE_MS = 250,	/* then company is undone, and each alone */
	SQL_LONELY_MS = 5000,	/* so long none of its calls has company */
	SQL_STUCK_MS = 250,	/* in line before it is handed back */
	SQL_CHECK_MS = 2000,	/* for the answer to a check before use */
	SQL_OVERFLOW_MS = 1000, /* idle before one beyond `size` is closed */
	SQL_CLIENT_CHECK_MS = 1000, /* the server looks whether we live */
};

/* How long a function takes, learnt from its calls. */
struct sql_pace {
	struct sql_pace *next;
	char *function;	 /* owned */
	int64_t mean_us; /* 0: not known yet */
	struct mono lonely_until;
};

/* A call: waits in line (connection NULL) or is in the batch of one. */
struct sql_call {
	TAILQ_ENTRY(sql_call) link;
	struct task *task;
	const char *function, *role;
	struct sql_pace *pace;
	handler_called_cb *on_called;
	void *handler;
	struct sql_connection *connection;
	struct mono since; /* in line */
	bool alone;	   /* it failed in company */
	bool cancelled;
};
TAILQ_HEAD(sql_line, sql_call);

/*
 *   CLOSED ─→ OPENING ─→ SETTING ─→ CALLING ─→ IDLE ─→ CHECKING ─→ SETTING …
 *      ↑         │  ↑______│ lost     │ lost     │ too old, too many  │ lost
 *      └─────────┴────────────────────┴──────────┘      OPENING ←─────┘
 */
enum sql_state {
	SQL_CLOSED,
	SQL_OPENING,
	SQL_CHECKING, /* timer: the check's limit */
	SQL_SETTING,
	SQL_CALLING, /* timer: patience, or the next cancel */
	SQL_IDLE,    /* timer: beyond `size` */
};

struct sql_connection {
	TAILQ_ENTRY(sql_connection) link;
	struct sql_pool *pool;
	enum sql_state state;
	struct pg *pg; /* NULL: closed */
	struct event *timer;
	int64_t limit_ms; /* statement_timeout of the session; 0: unset */
	struct mono opened, rested;
	struct sql_line calls; /* the batch; empty in CLOSED and IDLE */
	int64_t lease;	       /* of the first of them */
	int count;
	bool told;	     /* the server was asked to cancel the batch */
	bool telling;	     /* and has not answered yet */
	struct mono give_up; /* of what was told */
};
TAILQ_HEAD(sql_connections, sql_connection);

struct sql_pool {
	struct worker *worker;
	struct event *pump;  /* what is in line goes on its way */
	struct event *stuck; /* looks for what waits too long */
	struct sql_line line;
	struct sql_connections connections;
	struct sql_pace *paces;
};

/* sql_connection.c */
struct sql_connection *sql_connection_new(struct sql_pool *pool);
/* Its batch must be empty. */
void sql_connection_free(struct sql_connection *connection);
/* CLOSED or IDLE, its batch filled: begins. */
void sql_connection_begin(struct sql_connection *connection);
/* The batch is to end within the grace time. */
void sql_connection_cancel(struct sql_connection *connection, int64_t grace_ms);
void sql_connection_close(struct sql_connection *connection);
/* The limit that the server is told for this task. */
int64_t sql_limit_ms(const struct task *task);

/* sql_answer.c: what came of the batch; the connection rests already. */
void sql_answer(struct sql_connection *connection, const PGresult *result);
/* The connection broke; `begun`: whether anything took effect is unknown. */
void sql_answer_lost(struct sql_connection *connection, bool begun);
/* Ends a call, which is freed; its task may be gone after this. */
void sql_call_end(struct sql_call *call, enum call_end end, const char *error);

/* sql_pool.c */
void sql_pool_kick(struct sql_pool *pool);
/* Back to the head of the line, to be called alone. */
void sql_pool_again_alone(struct sql_pool *pool, struct sql_call *call);
/* How many connections are open or opening. */
int sql_pool_open(const struct sql_pool *pool);

/* sql_pace.c */
struct sql_pace *sql_pace_get(struct sql_pool *pool, const char *function);
/* A call took so long; true: it became fast, or no longer is. */
bool sql_pace_learn(struct sql_pace *pace, int64_t us);
bool sql_pace_is_fast(const struct sql_pace *pace);
/* Company went wrong as a whole. */
void sql_pace_lonely(struct sql_pace *pace);
/* How many may share a transaction now; 1: none. */
int sql_pace_company(const struct sql_pace *pace, int most);
void sql_pace_free_all(struct sql_pool *pool);

#endif
