/*
 * Requests: cancel, retry, reprioritise, pause, resume. SQL only records them;
 * a scheduler carries them out and leaves its answer, which is waited for here:
 * on a terminal with a bar, if it is for many tasks.
 */
#ifndef CTL_REQUEST_H
#define CTL_REQUEST_H

#include <libpq-fe.h>

#include "ctl/ctl.h"

extern const struct option request_options[]; /* --no-wait */

/*
 * Runs a query that returns request ids in its first column (and what each is
 * about in its second, if it has one), waits for the answers and prints them.
 * `what` names the thing ("task", "flow", "queue"). 0 or an exit code:
 * CTL_FAILED when some request was refused, CTL_AGAIN when nobody answers.
 */
int request_make(struct ctl *ctl, const char *what, const char *sql, int count,
    const char *const *values) __attribute__((warn_unused_result));

/* Asks for the end of a flow and does not wait. */
int request_cancel_flow(struct ctl *ctl, int64_t flow)
    __attribute__((warn_unused_result));

#endif
