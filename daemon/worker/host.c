#include "daemon/worker/host.h"

#include "common/log.h"
#include "daemon/worker/sql_pool.h"
#include "daemon/worker/stream.h"
#include "daemon/worker/worker.h"

static int
part(int total, void *argument)
{
	const struct worker *worker = argument;

	return share_part(total, worker->config->workers, worker->slot);
}

/* The change may come from inside a start: looked at when the loop turns. */
static void
on_changed(void *argument)
{
	struct worker *worker = argument;

	worker->capacity_changed = true;
	turn_kick(worker);
}

static void
on_trouble(const char *kind, const char *text, void *argument)
{
	struct worker *worker = argument;

	worker->cannot_run = share_list_get(&worker->kinds, kind);
	loop_status(worker->loop, "handler of %s: %s", kind, text);
}

/* What else runs may end before the worker is replaced. */
static void
on_damage(const char *text, bool replace, void *argument)
{
	struct worker *worker = argument;

	loop_status(worker->loop, "%s", text);
	log_warning("%s%s", text, replace ? "; this worker is replaced" : "");
	if (replace)
		worker_drain_orphaned(worker);
}

static void
catch_up(void *argument)
{
	events_catch_up(argument);
}

void
host_describe(struct worker *worker, struct handler_host *ret_host)
{
	*ret_host = (struct handler_host){.base = worker->base,
	    .scoreboard = worker->board,
	    .database = sql_pool_interface(),
	    .on_done = run_done,
	    .on_progress = stream_progress,
	    .on_chunk = stream_chunk,
	    .on_begun = run_begun,
	    .catch_up = catch_up,
	    .on_changed = on_changed,
	    .on_trouble = on_trouble,
	    .on_damage = on_damage,
	    .part = part,
	    .argument = worker};
}

int
host_capacity(const struct worker *worker, const char *kind)
{
	const struct generation *generation = TAILQ_FIRST(&worker->generations);
	const struct binding *binding =
	    worker_generation_binding(generation, kind);

	if (binding == NULL || binding->ops->capacity == NULL)
		return SHARE_NO_LIMIT;
	return binding->ops->capacity(binding->handler) +
	       worker_generation_earlier(&worker->generations, kind);
}

int
host_drain(struct worker *worker)
{
	const struct generation *generation;
	int left = 0;

	TAILQ_FOREACH(generation, &worker->generations, link)
	for (size_t i = 0; i < generation->count; i++) {
		const struct binding *binding = &generation->bindings[i];

		if (binding->ops->drain != NULL)
			left += binding->ops->drain(binding->handler);
	}
	return left;
}
