/*
 * The processes that handlers leave behind. This process is a subreaper: a
 * grandchild whose parent ended becomes its child, and stays in the process
 * table until somebody takes note of its end. That is done here, now and then,
 * without getting in the way of those who wait for children of their own.
 *
 * State of the process: children belong to a process, not to a handler.
 */
#ifndef DAEMON_HANDLERS_ADOPTED_H
#define DAEMON_HANDLERS_ADOPTED_H

#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>

struct event_base;

/* A child that its owner waits for. */
struct own_child {
	LIST_ENTRY(own_child) link;
	pid_t pid;
	/* It has ended and is to be reaped now; may disown and free itself. */
	void (*on_end)(struct own_child *child);
};

/* From the first open to the last close; each open has its close. */
void adopted_open(struct event_base *base);
void adopted_close(void);

void adopted_own(struct own_child *child);
/* It was reaped. `left`: its process group has members, who were killed. */
void adopted_disown(struct own_child *child, bool left);

#endif
