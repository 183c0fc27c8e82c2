/*
 * A daemon of its own for a replay: one worker with so many slots for the
 * queue `replay`, on the database that this call is connected to. It knows the
 * kinds `replay` and `replay-0` to `replay-<kinds - 1>`, all of which sleep. It
 * touches no file of the service, and ends with the replay.
 */
#ifndef CTL_REPLAY_DAEMON_H
#define CTL_REPLAY_DAEMON_H

#include <stddef.h>
#include <sys/types.h>

#include "ctl/ctl.h"

struct replay_daemon {
	char folder[128]; /* its configuration and runtime folder */
	pid_t pid;	  /* 0: none */
};

/* Starts it and waits until it takes tasks. 0 or an exit code; either way
 * replay_daemon_stop() ends what was begun. */
int replay_daemon_start(struct ctl *ctl, size_t slots, size_t kinds,
    struct replay_daemon *daemon) __attribute__((warn_unused_result));
void replay_daemon_stop(struct replay_daemon *daemon);

#endif
