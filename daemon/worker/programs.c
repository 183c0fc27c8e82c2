#include "daemon/worker/programs.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "daemon/worker/worker.h"

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
	if (missed && !worker->program_missing)
		loop_status(worker->loop, "%s", "");
}
