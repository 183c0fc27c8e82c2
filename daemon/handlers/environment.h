/*
 * The environment of a handler's program: PATH, HOME, LANG and TZ of the
 * daemon, MUSTER_LOG=json, what the configuration names for this kind, and
 * MUSTER_* about the task; nothing else that the daemon was given reaches it.
 */
#ifndef DAEMON_HANDLERS_ENVIRONMENT_H
#define DAEMON_HANDLERS_ENVIRONMENT_H

#include "common/config.h"
#include "daemon/handlers/handler.h"

struct environment;

struct environment *environment_new(const struct handler_config *config);
struct environment *environment_free(struct environment *environment);

/* The variables for one task, NULL at the end; valid until the next call.
 * `inputs` is this process' descriptor of what MUSTER_INPUTS is to name. */
char *const *environment_for(
    struct environment *environment, const struct task *task, int inputs);

/* Those that are the same for all tasks, with MUSTER_FD=3 and
 * MUSTER_MAX_MESSAGE in place of the task's own; valid until the next call. */
char *const *environment_alone(
    struct environment *environment, size_t max_message);

/* The value of a variable that is the same for all tasks; NULL: not set. */
const char *environment_value(
    const struct environment *environment, const char *name);

#endif
