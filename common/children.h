/*
 * Who is below a process, as /proc tells.
 */
#ifndef COMMON_CHILDREN_H
#define COMMON_CHILDREN_H

#include <sys/types.h>

/* The children of `pid`, whichever of its threads got them, zombies too; 0 at
 * the end. The caller frees it. */
pid_t *children_of(pid_t pid);

#endif
