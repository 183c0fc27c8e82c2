/*
 * The extra connections on which functions inside the database are called for
 * tasks. There are few (sql_connections in the configuration): `size` stay
 * open, `overflow` more are opened while all are busy and closed soon after.
 * One that rested for long is checked before use, an old one replaced. Limits
 * and cancels are a session's, so they go past a transaction pooler.
 *
 * A task of a function that takes long, or whose time is not known yet, is
 * started only when a connection may be had (worker->sql_share), so none waits
 * here. Short ones (worker->sql_fast_share) wait in line for a moment, and may
 * share a transaction, at most `share_transaction` of them: a commit costs far
 * more than the call. Whatever fails in company is undone and called again
 * alone, so each failure is judged in a transaction of its own; company that
 * takes too long is undone as a whole.
 */
#ifndef DAEMON_WORKER_SQL_POOL_H
#define DAEMON_WORKER_SQL_POOL_H

#include "daemon/handlers/handler.h"

struct share;
struct sql_pool;
struct worker;

struct sql_pool *sql_pool_new(struct worker *worker);
/* Calls that go on get their answer (lost) first. NULL ok; returns NULL. */
struct sql_pool *sql_pool_free(struct sql_pool *pool);

/* For handler_host; its argument is the worker. */
const struct handler_database *sql_pool_interface(void);

/* Of the configuration in force: the limits of both shares, and which of them
 * the tasks of this handler take part of now. */
void sql_pool_set_limits(struct worker *worker);
struct share *sql_pool_share(
    struct worker *worker, const struct handler_config *handler);

#endif
