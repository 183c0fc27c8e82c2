/*
 * What becomes of a task whose handler has reported: the verdict under the
 * limits of the task and of its handler, and one line in the log where
 * somebody may have to know.
 */
#ifndef DAEMON_WORKER_OUTCOME_H
#define DAEMON_WORKER_OUTCOME_H

#include "daemon/worker/verdict.h"

struct worker;

/* Fills running->finish; payload and inputs are let go. */
enum verdict outcome_judge(struct worker *worker, struct running *running,
    const struct outcome *outcome);

#endif
