/*
 * The scheduler's events (daemon/event.h): flows that ended, workers that died.
 */
#ifndef DAEMON_SCHEDULER_TELL_H
#define DAEMON_SCHEDULER_TELL_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

struct scheduler;

enum { TELL_FLUSH_MS = 500 }; /* at most, at the end of the scheduler */

/* Whether somebody may want to hear of flows that end now. */
bool tell_wants_flows(struct scheduler *scheduler);
/* What scheduler_fold gave. */
void tell_flows(struct scheduler *scheduler, const PGresult *result);

/* A rescue has committed: what scheduler_rescue gave. */
void tell_rescue(struct scheduler *scheduler, int64_t worker, const char *cause,
    const PGresult *result);

/* Sends what is left, as far as the limit of leaving allows. */
void tell_flush(struct scheduler *scheduler);

#endif
