/*
 * The extra connections on which functions inside the database are called for
 * tasks. There are few, opened when first needed and closed when idle; a task
 * gets a slot only when one is free (worker->sql_share), so none waits here.
 * Limits and cancels are a session's, so they go past a transaction pooler.
 *
 *   CLOSED ──→ OPENING ──→ SETTING ──→ CALLING ──→ IDLE ──→ SETTING …
 *      ↑          │lost       │lost       │lost, cancelled  │ idle
 *      └──────────┴───────────┴───────────┴─────────────────┘
 */
#ifndef DAEMON_WORKER_SQL_POOL_H
#define DAEMON_WORKER_SQL_POOL_H

#include "daemon/handlers/handler.h"

enum {
	SQL_POOL_SIZE = 8,
	SQL_POOL_IDLE_MS = 60000,
	SQL_POOL_CHECK_MS = 1000, /* the server looks whether we live */
};

struct sql_pool;
struct worker;

struct sql_pool *sql_pool_new(struct worker *worker);
/* Calls that go on get their answer (lost) first. NULL ok; returns NULL. */
struct sql_pool *sql_pool_free(struct sql_pool *pool);

/* For handler_host; its argument is the worker. */
const struct handler_database *sql_pool_interface(void);

#endif
