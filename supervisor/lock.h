/*
 * The two locks in runtime_dir. `lock` is the supervisor's, exclusive: whoever
 * holds it owns the folder and may unlink a stale control socket.
 * `workers.lock` is held, shared, by every child as long as it lives, through a
 * descriptor that it is handed: so a new supervisor sees the orphans of a
 * killed one. None of these waits.
 */
#ifndef SUPERVISOR_LOCK_H
#define SUPERVISOR_LOCK_H

#include "common/error.h"

/* Makes the folder if need be and takes `lock`. Returns its descriptor, or
 * -errno with `error` filled; -EWOULDBLOCK: another musterd has it. */
int lock_take(const char *runtime_dir, struct error *error)
    __attribute__((warn_unused_result));

/* 0: no child of an earlier supervisor lives; -EWOULDBLOCK: one does. */
int lock_orphans(const char *runtime_dir) __attribute__((warn_unused_result));

/* A descriptor that holds `workers.lock`, for one child; or -errno. */
int lock_for_child(const char *runtime_dir) __attribute__((warn_unused_result));

#endif
