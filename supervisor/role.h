/*
 * The other side of process.h: a process that was started as a child finds
 * what it was handed, opens its log, and becomes what its role says.
 */
#ifndef SUPERVISOR_ROLE_H
#define SUPERVISOR_ROLE_H

#include <stdbool.h>
#include <stdint.h>

struct role_options {
	const char *role; /* NULL: the supervisor */
	int slot;	  /* -1: none */
	int others;	  /* how many boards of other workers it was handed */
	uint64_t generation;
	bool first;
	const char *config_file;
};

/* Returns the exit code; 2: there is no such role, or this process was not
 * started by a supervisor. */
int role_main(const struct role_options *options);

#endif
