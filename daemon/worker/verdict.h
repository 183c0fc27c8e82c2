/*
 * From what a handler reports to what PostgreSQL is told: retry or final, when
 * again, charged or not. Pure: randomness is handed in.
 */
#ifndef DAEMON_WORKER_VERDICT_H
#define DAEMON_WORKER_VERDICT_H

#include "common/config.h"
#include "daemon/handlers/handler.h"
#include "daemon/worker/running.h"

enum {
	VERDICT_SNOOZES = 100, /* uncharged repeats before a task fails */
	VERDICT_ERROR_BYTES = 16384,
};

struct verdict_case {
	int attempt, snoozes, max_attempts;
	const struct backoff_config *backoff;
	bool cancelled; /* the handler was told to end it, for `reason` */
	enum cancel_reason reason;
	int64_t timeout_ms, max_result_bytes;
	double random; /* 0 <= r < 1 */
};

enum verdict {
	VERDICT_TELL,	  /* `ret_finish` goes with the next turn */
	VERDICT_RECORDED, /* PostgreSQL knows it already */
	VERDICT_DROP, /* not ours any more: the outcome counts for nothing */
};

/* `ret_finish` must be zeroed; its strings are the caller's to free. */
enum verdict verdict_of(const struct verdict_case *what,
    const struct outcome *outcome, struct finish *ret_finish);

/* Makes it a failure for good with this error, without a result. */
void verdict_fail(struct finish *finish, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
