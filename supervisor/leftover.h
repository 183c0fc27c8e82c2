/*
 * The children of a supervisor that was killed. The healthy ones see the end of
 * their socketpair, drain and go; one whose loop hangs sees nothing and would
 * live on, its handlers with it, so the next supervisor on the same folder
 * kills it. They are found by what they hold: whoever has workers.lock (lock.h)
 * open at the number that a child has it is one, so that no pid has to be
 * written down, which could be somebody else's by now.
 */
#ifndef SUPERVISOR_LEFTOVER_H
#define SUPERVISOR_LEFTOVER_H

#include <stdint.h>

/*
 * Stops those whose loop has not turned for `quiet_ms`, or all of them if that
 * is 0, and kills first what is below them and then them. Call it again soon
 * until it returns 0: none of them is left. To be called while this process has
 * no children of its own that hold the lock.
 */
int leftover_kill(const char *runtime_dir, int64_t quiet_ms);

#endif
