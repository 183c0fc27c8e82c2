/*
 * Reading the configuration in a process of its own: whatever a file holds,
 * and however long its disk takes, the supervisor goes on.
 */
#ifndef SUPERVISOR_CHECK_H
#define SUPERVISOR_CHECK_H

#include <stdint.h>

#include "common/config.h"
#include "common/text.h"

struct check;
struct event_base;
struct reaper;

/*
 * The verdict, once. Right: `config` (the callback owns it) and its blob.
 * Wrong: NULL and at least one error. The check is over and freed.
 */
typedef void check_cb(struct config *config, const struct text *blob,
    const struct config_errors *errors, void *argument);

/* Starts reading `file`, killed after `limit_ms`. NULL: no process could be
 * started (errno says why), and the callback is not called. */
struct check *check_start(struct event_base *base, struct reaper *reaper,
    const char *file, int64_t limit_ms, check_cb *on_verdict, void *argument);

/* Its callback is not called any more; the process is killed. NULL ok. */
struct check *check_cancel(struct check *check);

/* The process with this role: reads argv's file, answers on descriptor 3. */
int check_role_main(const char *file);

#endif
