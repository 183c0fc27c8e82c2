/* Does nothing, at once: for measurements and as a mark where tasks meet. */
#include <stdlib.h>

#include "daemon/handlers/handler.h"

struct handler {
	const struct handler_host *host;
};

static struct handler *
noop_open(const struct handler_host *host, const struct handler_config *config)
{
	struct handler *handler = calloc(1, sizeof(*handler));

	(void)config;
	if (handler == NULL)
		abort();
	handler->host = host;
	return handler;
}

static void
noop_start(struct handler *handler, struct task *task)
{
	static const struct outcome outcome = {
	    .kind = OUTCOME_SUCCEEDED, .after_ms = -1};

	handler->host->on_done(task, &outcome, handler->host->argument);
}

/* Nothing of it is ever running. */
static void
noop_cancel(struct handler *handler, struct task *task,
    enum cancel_reason reason, int64_t grace_ms)
{
	(void)handler, (void)task, (void)reason, (void)grace_ms;
}

static void
noop_close(struct handler *handler)
{
	free(handler);
}

const struct handler_ops handler_noop = {.name = "noop",
    .ignores_payload = true,
    .ignores_inputs = true,
    .open = noop_open,
    .start = noop_start,
    .cancel = noop_cancel,
    .close = noop_close};
