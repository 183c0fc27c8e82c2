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

/* The first of an http handler's files that cannot be read; NULL: none. */
static const char *
missing_file(const struct handler_config *handler)
{
	char *const *header = handler->headers;

	if (handler->ca_file != NULL && access(handler->ca_file, R_OK) != 0)
		return handler->ca_file;
	for (; header != NULL && *header != NULL; header++) {
		const char *file = *header + strcspn(*header, "=<");

		if (*file == '<' && access(file + 1, R_OK) != 0)
			return file + 1;
	}
	return NULL;
}

static const char *
missing_program(const char *program)
{
	return strchr(program, '/') != NULL && access(program, X_OK) != 0
		   ? program
		   : NULL;
}

/* What the handler cannot run without; errno says why. NULL: nothing. */
static const char *
missing(const struct handler_config *handler)
{
	switch (handler->type) {
	case HANDLER_EXEC:
		return missing_program(handler->argv[0]);
	case HANDLER_POOL:
		return missing_program(handler->pool[0]);
	case HANDLER_HTTP:
		return missing_file(handler);
	default:
		return NULL;
	}
}

static void
tell(struct worker *worker, const struct handler_config *handler,
    const char *what)
{
	const char *reason = strerror(errno);

	loop_status(worker->loop, "handler of %s cannot run: %s: %s",
	    handler->kind, what, reason);
	if (worker->slot == 0)
		log_warning("handler of %s cannot run: %s: %s; its tasks will "
			    "be tried again",
		    handler->kind, what, reason);
}

void
programs_try(struct worker *worker)
{
	const struct config *config = worker->config;
	bool missed = worker->program_missing;

	worker->program_missing = false;
	for (size_t i = 0; i < config->handler_count; i++) {
		const char *what = missing(&config->handlers[i]);

		if (what == NULL)
			continue;
		worker->program_missing = true;
		tell(worker, &config->handlers[i], what);
	}
	ask_handlers(worker);
	if (missed && !worker->program_missing)
		loop_status(worker->loop, "%s", "");
}
