/*
 * What children and supervisor tell each other, and what the scheduler is told
 * of the workers.
 */
#ifndef SUPERVISOR_CHILD_MESSAGE_H
#define SUPERVISOR_CHILD_MESSAGE_H

#include "common/procmsg.h"

struct child;

enum { CHILD_MAGIC = 0x6d736364 };

/* Callbacks of its channel. */
void child_on_message(const struct procmsg *message, void *argument);
void child_on_channel_end(const char *reason, void *argument);

/* A new worker: every scheduler is told of it; a new scheduler is told of
 * every worker. */
void child_introduce(struct child *child);
/* A worker is gone: every scheduler is told. */
void child_withdraw(struct child *child);

/* It is done, or can't be talked to any more: it has to be gone soon. */
void child_ending(struct child *child);

#endif
