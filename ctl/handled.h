/* Which queues and kinds the live workers of all hosts take. */
#ifndef CTL_HANDLED_H
#define CTL_HANDLED_H

#include <libpq-fe.h>

#include "ctl/ctl.h"
#include "common/error.h"

struct handled {
	PGresult *rows; /* owned; queue, kind */
	bool any_worker;
};

/* 0 or an exit code. */
int handled_read(struct ctl *ctl, struct handled *ret_handled)
    __attribute__((warn_unused_result));
void handled_free(struct handled *handled);

bool handled_has_kind(const struct handled *handled, const char *kind);
bool handled_has(
    const struct handled *handled, const char *queue, const char *kind);
/* What is nearest to a mistyped kind; NULL: nothing is near. */
const char *handled_nearest_kind(
    const struct handled *handled, const char *kind);

/* Says in `error` why nobody would run such a task; false: somebody would. */
bool handled_nobody(const struct handled *handled, const char *queue,
    const char *kind, struct error *error);

#endif
