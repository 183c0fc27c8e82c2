#include "daemon/worker/generation.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void
open_binding(struct generation *generation, size_t at)
{
	struct binding *binding = &generation->bindings[at];

	binding->generation = generation;
	binding->config = &generation->config->handlers[at];
	binding->ops = handler_ops_of(binding->config->type);
	binding->handler =
	    binding->ops->open(&generation->host, binding->config);
}

static void
retire(struct generation *generation)
{
	for (size_t i = 0; generation != NULL && i < generation->count; i++) {
		const struct binding *binding = &generation->bindings[i];

		if (binding->ops->retire != NULL)
			binding->ops->retire(binding->handler);
	}
}

struct generation *
worker_generation_add(struct generation_list *list, struct config *config,
    const struct handler_host *host)
{
	struct generation *generation = calloc(1, sizeof(*generation));

	if (generation == NULL)
		abort();
	generation->config = config;
	generation->host = *host;
	generation->host.config = config;
	generation->count = config->handler_count;
	generation->bindings =
	    calloc(generation->count + 1, sizeof(generation->bindings[0]));
	if (generation->bindings == NULL)
		abort();
	for (size_t i = 0; i < generation->count; i++)
		open_binding(generation, i);
	retire(TAILQ_FIRST(list));
	TAILQ_INSERT_HEAD(list, generation, link);
	return generation;
}

struct binding *
worker_generation_binding(const struct generation *generation, const char *kind)
{
	for (size_t i = 0; i < generation->count; i++)
		if (strcmp(generation->bindings[i].config->kind, kind) == 0)
			return &generation->bindings[i];
	return NULL;
}

void
worker_generation_hold(struct binding *binding)
{
	binding->tasks++;
	binding->generation->tasks++;
}

void
worker_generation_drop(struct binding *binding)
{
	assert(binding->tasks > 0);
	binding->tasks--;
	binding->generation->tasks--;
}

int
worker_generation_earlier(const struct generation_list *list, const char *kind)
{
	const struct generation *generation = TAILQ_FIRST(list);
	int tasks = 0;

	while ((generation = TAILQ_NEXT(generation, link)) != NULL) {
		const struct binding *binding =
		    worker_generation_binding(generation, kind);

		if (binding != NULL)
			tasks += binding->tasks;
	}
	return tasks;
}

static void
close_generation(struct generation *generation)
{
	for (size_t i = 0; i < generation->count; i++)
		generation->bindings[i].ops->close(
		    generation->bindings[i].handler);
	free(generation->bindings);
	config_free(generation->config);
	free(generation);
}

void
worker_generation_sweep(struct generation_list *list, bool all)
{
	struct generation *generation = TAILQ_FIRST(list), *next;

	if (generation != NULL && !all)
		generation = TAILQ_NEXT(generation, link);
	for (; generation != NULL; generation = next) {
		next = TAILQ_NEXT(generation, link);
		if (generation->tasks > 0 && !all)
			continue;
		TAILQ_REMOVE(list, generation, link);
		close_generation(generation);
	}
}
