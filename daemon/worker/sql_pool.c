#include "daemon/worker/sql_pool.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "common/busy.h"
#include "daemon/worker/sql_parts.h"
#include "daemon/worker/worker.h"

/* What is fast and waits for a connection, in batches of each of them. */
enum { BATCHES_AHEAD = 2 };

int
sql_pool_open(const struct sql_pool *pool)
{
	const struct sql_connection *connection;
	int count = 0;

	TAILQ_FOREACH(connection, &pool->connections, link)
	count += connection->state != SQL_CLOSED;
	return count;
}

static int
limit_of(const struct worker *worker)
{
	const struct sql_connections_config *limits =
	    &worker->config->sql_connections;

	return limits->size + limits->overflow;
}

static int
company_of(const struct sql_call *call)
{
	const struct handler_config *config =
	    running_of(call->task)->binding->config;
	int most = config->share_transaction;

	if (call->alone || running_of(call->task)->large)
		return 1;
	return sql_pace_company(call->pace, most > 0 ? most : SQL_COMPANY_MAX);
}

/* One that is open before one that would have to be opened; NULL: none. */
static struct sql_connection *
choose(struct sql_pool *pool)
{
	struct sql_connection *connection, *closed = NULL;

	TAILQ_FOREACH(connection, &pool->connections, link)
	{
		if (connection->state == SQL_IDLE)
			return connection;
		if (connection->state == SQL_CLOSED)
			closed = connection;
	}
	if (sql_pool_open(pool) >= limit_of(pool->worker))
		return NULL;
	if (closed == NULL) {
		closed = sql_connection_new(pool);
		TAILQ_INSERT_TAIL(&pool->connections, closed, link);
	}
	return closed;
}

static bool
is_worked_on(const struct sql_pool *pool, int64_t lease)
{
	const struct sql_connection *connection;

	TAILQ_FOREACH(connection, &pool->connections, link)
	if (connection->count > 0 && connection->lease == lease)
		return true;
	return false;
}

/* A finish locks the lease until its commit, so better one whose lease no
 * other connection works on; only the first of the line waits for nobody. */
static struct sql_call *
next_in_line(const struct sql_pool *pool)
{
	struct sql_call *first = TAILQ_FIRST(&pool->line), *call;

	if (company_of(first) == 1)
		return first;
	TAILQ_FOREACH(call, &pool->line, link)
	if (!is_worked_on(pool, call->task->lease))
		return call;
	return first;
}

static bool
fit_together(const struct sql_call *a, const struct sql_call *b)
{
	return !b->alone && !running_of(b->task)->large &&
	       a->task->lease == b->task->lease &&
	       a->task->worker == b->task->worker && a->pace == b->pace &&
	       (a->role == b->role || (a->role != NULL && b->role != NULL &&
					  strcmp(a->role, b->role) == 0)) &&
	       sql_limit_ms(a->task) == sql_limit_ms(b->task);
}

static void
take(struct sql_pool *pool, struct sql_connection *connection,
    struct sql_call *call)
{
	TAILQ_REMOVE(&pool->line, call, link);
	TAILQ_INSERT_TAIL(&connection->calls, call, link);
	call->connection = connection;
	connection->lease = call->task->lease;
	connection->count++;
}

static void
fill(struct sql_pool *pool, struct sql_connection *connection)
{
	struct sql_call *first = next_in_line(pool), *call, *next;
	int room = company_of(first) - 1;

	call = TAILQ_NEXT(first, link);
	take(pool, connection, first);
	for (; call != NULL && room > 0; call = next) {
		next = TAILQ_NEXT(call, link);
		if (!fit_together(first, call))
			continue;
		take(pool, connection, call);
		room--;
	}
}

static void
watch_for_stuck(struct sql_pool *pool)
{
	struct timeval after = {.tv_usec = SQL_STUCK_MS * 1000};

	if (!TAILQ_EMPTY(&pool->line) && !evtimer_pending(pool->stuck, NULL))
		event_add(pool->stuck, &after);
}

static void
on_pump(evutil_socket_t fd, short what, void *argument)
{
	struct sql_pool *pool = argument;
	struct sql_connection *connection;
	struct busy busy = busy_enter("line of sql tasks");

	(void)fd, (void)what;
	while (
	    !TAILQ_EMPTY(&pool->line) && (connection = choose(pool)) != NULL) {
		fill(pool, connection);
		sql_connection_begin(connection);
	}
	watch_for_stuck(pool);
	busy_leave(busy);
}

void
sql_pool_kick(struct sql_pool *pool)
{
	if (pool->pump != NULL)
		event_active(pool->pump, EV_TIMEOUT, 0);
}

/* Slow functions hold all connections: another worker may have one. */
static void
on_stuck(evutil_socket_t fd, short what, void *argument)
{
	struct sql_pool *pool = argument;
	struct mono now = mono_now();
	struct sql_call *call, *next;
	struct busy busy = busy_enter("sql tasks that wait");

	(void)fd, (void)what;
	for (call = TAILQ_FIRST(&pool->line); call != NULL; call = next) {
		next = TAILQ_NEXT(call, link);
		if (call->alone ||
		    mono_ms_between(call->since, now) < SQL_STUCK_MS)
			continue;
		TAILQ_REMOVE(&pool->line, call, link);
		claim_pause(running_of(call->task)->route, now);
		sql_call_end(call, CALL_NOT_BEGUN, "");
	}
	watch_for_stuck(pool);
	busy_leave(busy);
}

void
sql_pool_again_alone(struct sql_pool *pool, struct sql_call *call)
{
	call->alone = true;
	call->since = mono_now();
	TAILQ_INSERT_HEAD(&pool->line, call, link);
}

static void
pool_call(void *argument, struct task *task, const char *function,
    const char *role, handler_called_cb *on_called, void *handler)
{
	struct worker *worker = argument;
	struct sql_pool *pool = worker->sql_pool;
	struct sql_call *call = calloc(1, sizeof(*call));

	if (call == NULL)
		abort();
	call->task = task;
	call->function = function;
	call->role = role;
	call->pace = sql_pace_get(pool, function);
	call->on_called = on_called;
	call->handler = handler;
	call->since = mono_now();
	task->state = call;
	TAILQ_INSERT_TAIL(&pool->line, call, link);
	sql_pool_kick(pool);
}

static void
pool_cancel(void *argument, struct task *task, int64_t grace_ms)
{
	struct worker *worker = argument;
	struct sql_call *call = task->state;

	if (call == NULL)
		return;
	call->cancelled = true;
	if (call->connection != NULL) {
		sql_connection_cancel(call->connection, grace_ms);
		return;
	}
	TAILQ_REMOVE(&worker->sql_pool->line, call, link);
	sql_call_end(call, CALL_CANCELLED, "");
}

const struct handler_database *
sql_pool_interface(void)
{
	static const struct handler_database interface = {
	    .call = pool_call, .cancel = pool_cancel};

	return &interface;
}

void
sql_pool_set_limits(struct worker *worker)
{
	int connections = limit_of(worker);

	worker->sql_share.limit = connections;
	worker->sql_fast_share.limit =
	    connections * SQL_COMPANY_MAX * BATCHES_AHEAD;
}

struct share *
sql_pool_share(struct worker *worker, const struct handler_config *handler)
{
	const struct sql_pace *pace;

	if (worker->sql_pool == NULL || handler->share_transaction == 1)
		return &worker->sql_share;
	pace = sql_pace_get(worker->sql_pool, handler->function);
	return sql_pace_is_fast(pace) ? &worker->sql_fast_share
				      : &worker->sql_share;
}

struct sql_pool *
sql_pool_new(struct worker *worker)
{
	struct sql_pool *pool = calloc(1, sizeof(*pool));

	if (pool == NULL)
		abort();
	pool->worker = worker;
	TAILQ_INIT(&pool->line);
	TAILQ_INIT(&pool->connections);
	pool->pump = evtimer_new(worker->base, on_pump, pool);
	pool->stuck = evtimer_new(worker->base, on_stuck, pool);
	if (pool->pump == NULL || pool->stuck == NULL)
		abort();
	return pool;
}

static void
free_line(struct sql_pool *pool)
{
	struct sql_call *call;

	while ((call = TAILQ_FIRST(&pool->line)) != NULL) {
		TAILQ_REMOVE(&pool->line, call, link);
		sql_call_end(call, CALL_NOT_BEGUN, "");
	}
}

struct sql_pool *
sql_pool_free(struct sql_pool *pool)
{
	struct sql_connection *connection;

	if (pool == NULL)
		return NULL;
	event_free(pool->pump);
	event_free(pool->stuck);
	pool->pump = NULL;
	free_line(pool);
	while ((connection = TAILQ_FIRST(&pool->connections)) != NULL) {
		bool begun = connection->state == SQL_CALLING;

		TAILQ_REMOVE(&pool->connections, connection, link);
		sql_connection_close(connection);
		sql_answer_lost(connection, begun);
		sql_connection_free(connection);
	}
	sql_pace_free_all(pool);
	free(pool);
	return NULL;
}
