/*
 * pool: long-lived processes that are given tasks over a socket. A task waits
 * in line until a process has room for it; what is new for a process goes out
 * in one write when the loop has started all that it has.
 */
#include "daemon/handlers/pool.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "common/busy.h"
#include "daemon/handlers/adopted.h"
#include "daemon/handlers/process.h"
#include "daemon/handlers/task_cgroup.h"

void
pool_work_soon(struct handler *pool)
{
	event_active(pool->work, 0, 0);
}

/* The one with the fewest tasks of those with room: all processors get work,
 * and a pool with little to do leaves its last members idle. */
static struct pool_member *
member_with_room(const struct handler *pool)
{
	struct pool_member *member, *best = NULL;

	TAILQ_FOREACH(member, &pool->members, link)
	if (pool_member_has_room(member) &&
	    (best == NULL || member->running < best->running))
		best = member;
	return best;
}

static void
leave_line(struct handler *pool, struct pool_task *task)
{
	TAILQ_REMOVE(&pool->waiting, task, link);
	pool->waiting_count--;
}

static void
give_out(struct handler *pool)
{
	struct pool_task *task;
	struct pool_member *member;

	while ((task = TAILQ_FIRST(&pool->waiting)) != NULL &&
	       (member = member_with_room(pool)) != NULL) {
		leave_line(pool, task);
		pool->host.on_begun(task->task, pool->host.argument);
		if (!pool_member_run(member, task))
			pool_task_report_error(pool, task, OUTCOME_FAILED_HARD,
			    "payload and inputs are larger than max_message",
			    -1);
	}
}

static void
flush(struct handler *pool)
{
	struct pool_member *member;

	TAILQ_FOREACH(member, &pool->members, link)
	if (member->dirty)
		pool_member_flush(member);
}

static void
drain_all(struct handler *pool)
{
	struct pool_member *member;

	TAILQ_FOREACH(member, &pool->members, link)
	pool_member_drain(member);
}

static void
free_pool(struct handler *pool)
{
	assert(pool->tasks == 0);
	pool_size_close(pool);
	pool_shown_close(pool);
	event_free(pool->work);
	(void)environment_free(pool->environment);
	pool_task_free_spare(pool);
	free(pool->kind);
	free(pool);
	task_cgroups_close();
	adopted_close();
}

static void
on_work(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct handler *pool = argument;
	struct busy busy = busy_enter("tasks for a pool");

	if (pool->closed && TAILQ_EMPTY(&pool->members)) {
		free_pool(pool);
		busy_leave(busy);
		return;
	}
	give_out(pool);
	if (pool->retired)
		pool_size_give_back(pool, OUTCOME_NOT_BEGUN, "", -1);
	if (pool->closed || pool->retired ||
	    (pool->draining && pool->waiting_count == 0))
		drain_all(pool);
	else
		pool_size_grow(pool);
	flush(pool);
	pool_size_tell(pool);
	busy_leave(busy);
}

static void
pool_start(struct handler *pool, struct task *task)
{
	struct pool_task *new = pool_task_new(pool, task);

	TAILQ_INSERT_TAIL(&pool->waiting, new, link);
	if (pool->waiting_count++ == 0)
		pool_work_soon(pool);
}

static void
pool_cancel(struct handler *pool, struct task *task, enum cancel_reason reason,
    int64_t grace_ms)
{
	struct pool_task *ours = pool_task_of(task);

	if (ours->state == POOL_TASK_WAITING) {
		leave_line(pool, ours);
		pool_task_report_error(
		    pool, ours, OUTCOME_CANCELLED, "not started", -1);
	} else {
		pool_member_cancel(ours->member, ours, reason, grace_ms);
	}
}

static int
count_members(const struct handler *pool)
{
	const struct pool_member *member;
	int count = 0;

	TAILQ_FOREACH(member, &pool->members, link)
	count++;
	return count;
}

static int
pool_drain(struct handler *pool)
{
	if (!pool->draining)
		pool_work_soon(pool);
	pool->draining = true;
	return count_members(pool);
}

/* What waits is for the processes of the pool that has our place; ours end
 * what they have. */
static void
pool_retire(struct handler *pool)
{
	pool->retired = true;
	pool_work_soon(pool);
}

static int
pool_capacity(struct handler *pool)
{
	return pool_size_capacity(pool);
}

static struct handler *
pool_open(const struct handler_host *host, const struct handler_config *config)
{
	struct handler *pool = calloc(1, sizeof(*pool));

	if (pool == NULL)
		abort();
	process_prepare();
	adopted_open(host->base);
	task_cgroups_open(host->base);
	pool->host = *host;
	pool->config = config;
	pool->numbers = *config;
	pool->kind = strdup(config->kind);
	pool->grace_ms = config->limits.grace_ms;
	pool->start_timeout_ms = config->start_timeout_ms;
	pool->max_message = (size_t)host->config->max_message_bytes;
	pool->environment = environment_new(config);
	spawn_limits(config, &pool->limits);
	TAILQ_INIT(&pool->waiting);
	TAILQ_INIT(&pool->spare);
	TAILQ_INIT(&pool->members);
	pool->work = event_new(host->base, -1, 0, on_work, pool);
	if (pool->work == NULL || pool->kind == NULL)
		abort();
	pool_size_open(pool);
	pool_shown_open(pool);
	return pool;
}

/* Processes end in their own time, unless the worker has none any more. */
static void
pool_close(struct handler *pool)
{
	struct pool_member *member;

	assert(pool->tasks == 0);
	pool->closed = true;
	pool->config = NULL;
	if (TAILQ_EMPTY(&pool->members)) {
		free_pool(pool);
	} else if (pool->draining) {
		TAILQ_FOREACH(member, &pool->members, link)
		pool_member_kill(member);
	} else {
		drain_all(pool);
	}
}

const struct handler_ops handler_pool = {
    .name = "pool",
    .begins_later = true,
    .open = pool_open,
    .start = pool_start,
    .cancel = pool_cancel,
    .capacity = pool_capacity,
    .drain = pool_drain,
    .retire = pool_retire,
    .close = pool_close,
};
