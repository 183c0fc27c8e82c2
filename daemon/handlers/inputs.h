/*
 * The file that MUSTER_INPUTS names: the outcomes of what a task depends on.
 * It has no name in any folder and is gone with its last descriptor, whatever
 * dies first. Programs open it as /proc/PID/fd/N of the worker, so it reaches
 * those too that the handler's program starts without descriptors of its own.
 */
#ifndef DAEMON_HANDLERS_INPUTS_H
#define DAEMON_HANDLERS_INPUTS_H

#include <stddef.h>

/* A descriptor (close-on-exec) of a file with these bytes that nobody can
 * change, or -errno. */
int inputs_new(const char *bytes, size_t size)
    __attribute__((warn_unused_result));

#endif
