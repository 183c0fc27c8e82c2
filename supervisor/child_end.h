/* The end of a child: what it leaves behind, and what is said of it. */
#ifndef SUPERVISOR_CHILD_END_H
#define SUPERVISOR_CHILD_END_H

#include <signal.h>

struct child;

/* Callback of the reaper. */
void child_on_end(const siginfo_t *info, void *argument);

/* Its memory, descriptors and events; the process is gone or never was.
 * Returns NULL. */
struct child *child_free(struct child *child);

#endif
