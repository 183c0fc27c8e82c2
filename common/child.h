/*
 * How a child of the supervisor finds what it was handed: `musterd
 * --role=worker --slot=N --generation=N --others=N` with these descriptors.
 */
#ifndef COMMON_CHILD_H
#define COMMON_CHILD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"
#include "common/scoreboard.h"

enum {
	CHILD_FD_CHANNEL = 3,	 /* its end of the socketpair */
	CHILD_FD_SCOREBOARD = 4, /* memfd */
	CHILD_FD_CONFIG = 5,	 /* memfd of the configuration blob */
	CHILD_FD_WAKE = 6,	 /* worker: eventfd, read to zero when woken */
	CHILD_FD_LOCK = 7,	 /* holds workers.lock while the child lives */
	CHILD_FD_OTHERS = 8,	 /* worker, and those after it: the scoreboards
				    of all other workers that serve or leave;
				    what runs there counts against concurrency */
};

struct child_start {
	int slot;	       /* worker: its number from 0; scheduler: -1 */
	uint64_t generation;   /* of the configuration */
	bool first;	       /* scheduler: first since the supervisor's start:
				  rescue earlier workers of this instance */
	struct config *config; /* owned */
	struct scoreboard *scoreboard; /* owned */
	struct scoreboard **others;    /* owned, as is each; NULL: none */
	int other_count;
};

/* What a scheduler adds to the eventfd of a worker. */
#define CHILD_WAKE_WORK UINT64_C(1)	      /* to be claimed, perhaps */
#define CHILD_WAKE_CANCEL (UINT64_C(1) << 32) /* something that runs */

/* The mains of the roles; each returns the exit code of its process. The
 * descriptors above are open; the log is open; signals TERM, INT and HUP are
 * ignored, PIPE too. Takes over what `start` owns. */
int worker_main(struct child_start *start);
int scheduler_main(struct child_start *start);

/* Identity of this instance in the database, from the machine's id, its name
 * and runtime_dir; the same after a restart, different for two on one machine.
 * Static buffer. */
const char *child_instance(const struct config *config);

#endif
