#include "daemon/handlers/pool_task.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/handlers/pool.h"

enum { TASK_MAGIC = 0x70746173 };

struct pool_task *
pool_task_new(struct handler *pool, struct task *task)
{
	struct pool_task *new = TAILQ_FIRST(&pool->spare);

	if (new != NULL)
		TAILQ_REMOVE(&pool->spare, new, link);
	else if ((new = malloc(sizeof(*new))) == NULL)
		abort();
	*new = (struct pool_task){.magic = TASK_MAGIC, .task = task};
	task->state = new;
	pool->tasks++;
	return new;
}

struct pool_task *
pool_task_of(const struct task *task)
{
	struct pool_task *ours = task->state;

	assert(ours->magic == TASK_MAGIC);
	return ours;
}

void
pool_task_report(
    struct handler *pool, struct pool_task *task, const struct outcome *outcome)
{
	struct task *reported = task->task;

	task->magic = 0;
	task->task = NULL;
	reported->state = NULL;
	TAILQ_INSERT_HEAD(&pool->spare, task, link);
	pool->tasks--;
	pool->host.on_done(reported, outcome, pool->host.argument);
}

void
pool_task_report_error(struct handler *pool, struct pool_task *task,
    enum outcome_kind kind, const char *error, int64_t after_ms)
{
	struct outcome outcome = {.kind = kind,
	    .error = error,
	    .error_size = strlen(error),
	    .after_ms = after_ms};

	pool_task_report(pool, task, &outcome);
}

void
pool_task_free_spare(struct handler *pool)
{
	struct pool_task *task;

	while ((task = TAILQ_FIRST(&pool->spare)) != NULL) {
		TAILQ_REMOVE(&pool->spare, task, link);
		free(task);
	}
}
