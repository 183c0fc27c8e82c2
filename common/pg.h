/*
 * One event-driven connection to PostgreSQL. It resolves names off the loop,
 * connects, prepares, reconnects with jittered back-off, and hands results to
 * callbacks; nothing in it blocks.
 *
 *   WAITING ─timer→ RESOLVING → CONNECTING → SETTING_UP → READY ⇄ BUSY
 *      ↑__________ any failure, with back-off ______________________│
 *
 * One statement is in flight at a time; more are queued in order. On every
 * connection the isolation level is set to read committed, and the statement
 * limit is told to the server too, unless the session is a pooler's.
 *
 * Where the conninfo names several hosts they are tried in order, each address
 * with a time limit of its own, and the first that takes writes is used. A
 * standby or a read-only server is not, unless target_session_attrs says so.
 * keepalives_*, tcp_user_timeout and gssencmode have defaults of our own.
 */
#ifndef COMMON_PG_H
#define COMMON_PG_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct pg;

struct pg_options {
	const char *conninfo; /* as configured */
	const char *application_name;
	const char *listen;	    /* channel; NULL: none. Not behind a
				       transaction pooler */
	bool prepare;		    /* false behind older transaction poolers */
	bool pooled;		    /* sessions are a transaction pooler's, and
				       others': nothing is set in them */
	int64_t connect_timeout_ms; /* for each address; 0: 10 s, or 3 s where
				       the conninfo names several hosts.
				       connect_timeout in it goes before */
	int64_t statement_limit_ms; /* the answer must come by then, else the
				       connection is given up; 0: 60 s */
};

/* A statement: text stands once in the statements file of its process. */
struct pg_statement {
	const char *name; /* also the name of the prepared statement */
	const char *sql;
	int parameters;
};

/*
 * The answer. `result` is owned by the connection and valid during the call;
 * NULL when the connection was lost before the answer came: whether the
 * statement took effect is unknown then. A refused statement gives a result of
 * PGRES_FATAL_ERROR (pg_sqlstate).
 */
typedef void pg_result_cb(PGresult *result, void *argument);

/* All are needed but on_notify. Each may free the connection. */
struct pg_callbacks {
	/* Usable again: a new session that knows nothing of the last one.
	 * Statements sent inside go before any other. */
	void (*on_ready)(struct pg *pg, void *argument);
	/* Lost, or an attempt failed; `reason` is a sentence. Called once a
	 * failure, after every pending statement got its NULL result. */
	void (*on_lost)(struct pg *pg, const char *reason, void *argument);
	/* A notification; NULL where nobody listens. */
	void (*on_notify)(
	    const char *channel, const char *payload, void *argument);
};

/* Starts connecting at once. Copies the options' strings. */
struct pg *pg_new(struct event_base *base, const struct pg_options *options,
    const struct pg_callbacks *callbacks, void *argument);
/* Drops the connection; pending statements get a NULL result first. Safe
 * inside its callbacks. Takes NULL, returns NULL. */
struct pg *pg_free(struct pg *pg);

bool pg_is_ready(const struct pg *pg);	 /* connected, maybe busy */
bool pg_is_idle(const struct pg *pg);	 /* ready and nothing in flight */
int pg_backend_pid(const struct pg *pg); /* 0 while not ready */
/* Ready, and not talking to the server itself: the number that it was told for
 * its session is none of the server's. The pooler may still give each client a
 * session of its own. */
bool pg_is_pooled(const struct pg *pg);
/* Of the server's history: grows by each promotion of a standby. A server on
 * an older timeline than one seen before, a former primary that came back, is
 * refused. 0 until the first connection. */
uint32_t pg_timeline(const struct pg *pg);

/*
 * Sends (or queues behind those in flight) a statement with text parameters
 * (NULL: null). The values are copied. -ENOTCONN while not ready.
 */
int pg_send(struct pg *pg, const struct pg_statement *statement,
    const char *const *values, pg_result_cb *on_result, void *argument)
    __attribute__((warn_unused_result));

/* Gives the connection up (a hung server) and starts anew at once. Nothing
 * happens while there is none. */
void pg_reset(struct pg *pg, const char *reason);

/* The SQLSTATE of a failed result, "" otherwise. */
const char *pg_sqlstate(const PGresult *result);
/* The primary message of a failed result as one line (static buffer). */
const char *pg_message(const PGresult *result);

#endif
