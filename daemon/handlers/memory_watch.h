/*
 * Looks now and then at how much memory groups of processes hold, and says so
 * when one holds more than it may. To a group belong all of its cgroup; where
 * there is none, its leader, all that is below it, and what has its group's
 * number and lost its parent.
 *
 * The look is cheap: resident pages as each process counts them. Pages that
 * several share count more than once then, so before anybody is accused they
 * are measured exactly.
 *
 * Where there are very many, each look takes the next of them, so that the loop
 * goes on turning.
 *
 * State of the process: one timer for all, which stands while there are none.
 */
#ifndef DAEMON_HANDLERS_MEMORY_WATCH_H
#define DAEMON_HANDLERS_MEMORY_WATCH_H

#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

struct event_base;

struct memory_watch {
	TAILQ_ENTRY(memory_watch) link;
	pid_t leader; /* not reaped before memory_watch_end */
	int64_t limit_bytes;
	const char
	    *cgroup; /* whose processes they are; NULL: found by leader */
	/* Every time that it is looked at and holds more. */
	void (*on_over)(struct memory_watch *watch, int64_t held_bytes);
};

void memory_watch_begin(struct memory_watch *watch, struct event_base *base);
void memory_watch_end(
    struct memory_watch *watch); /* one that never began: ok */

/* Kills its group, and each process below its leader that left the group. */
void memory_watch_kill(const struct memory_watch *watch);

#endif
