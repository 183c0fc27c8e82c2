/*
 * Starting a process of another role: fork and exec of this very binary. It
 * gets its descriptors at the numbers of child.h and no other but standard
 * input, output and error; an environment without what is meant for the
 * supervisor (NOTIFY_SOCKET, WATCHDOG_*, LISTEN_*, …); an empty signal mask;
 * TERM, INT, HUP, USR1, USR2 and PIPE ignored, all other signals default.
 */
#ifndef SUPERVISOR_PROCESS_H
#define SUPERVISOR_PROCESS_H

#include <sys/types.h>

enum {
	PROCESS_FD_FIRST = 3,
	PROCESS_FDS = 5, /* descriptors 3 to 7 */
};

struct process_plan {
	const char *const *argv; /* argv[0] first, NULL at the end */
	int fds[PROCESS_FDS];	 /* what becomes 3, 4, …; -1: none */
	const int *more;	 /* what becomes 8, 9, …; none is -1 */
	int more_count;
};

/* Returns the pid or -errno. The plan's descriptors stay the caller's. */
pid_t process_start(const struct process_plan *plan)
    __attribute__((warn_unused_result));

#endif
