/*
 * Waking the workers of this host. Each waits on an eventfd; as many are woken
 * as there is work for, in turn. A worker that is woken may have no room
 * left: if fewer than all were woken, the others follow a little later.
 */
#ifndef DAEMON_SCHEDULER_WAKE_H
#define DAEMON_SCHEDULER_WAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event;
struct event_base;

struct wake_worker {
	int32_t slot;
	int fd;	       /* owned */
	int64_t id;    /* 0: not registered yet */
	bool awakened; /* since the others' turn was set */
};

struct wake {
	struct wake_worker *workers;
	size_t count, next;
	struct event *others; /* timer */
	uint64_t written;     /* wake-ups in all */
};

void wake_open(struct wake *wake, struct event_base *base);
void wake_close(struct wake *wake);

/* A worker came, or its id changed; takes over `fd`. */
void wake_add(struct wake *wake, int32_t slot, int64_t id, int fd);
void wake_remove(struct wake *wake, int32_t slot);

void wake_some(struct wake *wake, int64_t tasks);
void wake_all(struct wake *wake);
/* False when it is no worker of this host. */
bool wake_one(struct wake *wake, int64_t id);

#endif
