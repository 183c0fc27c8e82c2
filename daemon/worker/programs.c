#include "daemon/worker/programs.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "daemon/worker/worker.h"

/* What a handler itself says, such as a library that cannot be loaded. */
static void
ask_handlers(struct worker *worker)
{
	struct generation *generation = TAILQ_FIRST(&worker->generations);

	for (size_t i = 0; i < generation->count; i++) {
		const struct binding *binding = &generation->bindings[i];
		const char *trouble =
		    binding->ops->trouble == NULL
			? NULL
			: binding->ops->trouble(binding->handler);

		if (trouble == NULL)
			continue;
		worker->program_missing = true;
		loop_status(worker->loop, "handler of %s cannot run: %s",
		    binding->config->kind, trouble);
		if (worker->slot == 0)
			log_warning("handler of %s cannot run: %s; its tasks "
				    "will be tried again",
			    binding->config->kind, trouble);
	}
}

static bool
is_missing(const struct handler_config *handler)
{
	return handler->type == HANDLER_EXEC &&
	       strchr(handler->argv[0], '/') != NULL &&
	       access(handler->argv[0], X_OK) != 0;
}

static void
tell(struct worker *worker, const struct handler_config *handler)
{
	const char *reason = strerror(errno);

	loop_status(worker->loop, "handler of %s cannot run: %s: %s",
	    handler->kind, handler->argv[0], reason);
	if (worker->slot == 0)
		log_warning("handler of %s cannot run: %s: %s; its tasks will "
			    "be tried again",
		    handler->kind, handler->argv[0], reason);
}

void
programs_try(struct worker *worker)
{
	const struct config *config = worker->config;
	bool missed = worker->program_missing;

	worker->program_missing = false;
	for (size_t i = 0; i < config->handler_count; i++)
		if (is_missing(&config->handlers[i])) {
			worker->program_missing = true;
			tell(worker, &config->handlers[i]);
		}
	ask_handlers(worker);
	if (missed && !worker->program_missing)
		loop_status(worker->loop, "%s", "");
}
