#include "daemon/worker/programs.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "daemon/worker/worker.h"

static const char *
program_of(const struct handler_config *handler)
{
	switch (handler->type) {
	case HANDLER_EXEC:
		return handler->argv[0];
	case HANDLER_POOL:
		return handler->pool[0];
	default:
		return NULL;
	}
}

static bool
is_missing(const struct handler_config *handler)
{
	const char *program = program_of(handler);

	return program != NULL && strchr(program, '/') != NULL &&
	       access(program, X_OK) != 0;
}

static void
tell(struct worker *worker, const struct handler_config *handler)
{
	const char *reason = strerror(errno);

	loop_status(worker->loop, "handler of %s cannot run: %s: %s",
	    handler->kind, program_of(handler), reason);
	if (worker->slot == 0)
		log_warning("handler of %s cannot run: %s: %s; its tasks will "
			    "be tried again",
		    handler->kind, program_of(handler), reason);
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
	if (missed && !worker->program_missing)
		loop_status(worker->loop, "%s", "");
}
