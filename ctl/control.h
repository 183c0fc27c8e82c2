/* The control socket of the daemon on this machine. */
#ifndef CTL_CONTROL_H
#define CTL_CONTROL_H

#include <jansson.h>

#include "ctl/ctl.h"

/*
 * Asks {"verb": …} (or more) and waits at most `limit_ms` for the answer,
 * an object whose "ok" the caller looks at; the caller decrefs it. 0, or an
 * exit code after telling why there is no answer.
 */
int control_ask(struct ctl *ctl, const char *request, int64_t limit_ms,
    json_t **ret_answer) __attribute__((warn_unused_result));

/* As control_ask, and an answer that is not ok is told too (CTL_FAILED). */
int control_order(struct ctl *ctl, const char *request, int64_t limit_ms,
    json_t **ret_answer) __attribute__((warn_unused_result));

#endif
