/*
 * What the worker is to its handlers beside a taker of outcomes: it shares out
 * what the instance may have, asks them how much they can take, tells people
 * of their troubles, and lets them go in peace at the end.
 */
#ifndef DAEMON_WORKER_HOST_H
#define DAEMON_WORKER_HOST_H

#include "daemon/handlers/handler.h"

struct worker;

/* What the handlers of a configuration get. */
void host_describe(struct worker *worker, struct handler_host *ret_host);

/* How many tasks of the kind may run: those that its handler in force takes,
 * and those that earlier ones have, whose slots are none of it. */
int host_capacity(const struct worker *worker, const char *kind);

/* Lets go of what handlers keep for tasks to come; how much is left. */
int host_drain(struct worker *worker);

#endif
