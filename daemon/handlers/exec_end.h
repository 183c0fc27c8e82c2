/* What the end of a handler's program means. */
#ifndef DAEMON_HANDLERS_EXEC_END_H
#define DAEMON_HANDLERS_EXEC_END_H

#include <stdbool.h>

#include "common/text.h"
#include "daemon/handlers/handler.h"
#include "daemon/handlers/process.h"

/* For every end but success; `told`: we had asked the program to end. */
enum outcome_kind exec_end_kind(const struct process_result *result, bool told);

/* The error of an attempt: how it ended, and the program's last words. */
void exec_end_describe(
    const struct process_result *result, struct text *ret_text);

#endif
