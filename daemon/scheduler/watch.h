/*
 * Looks once a second at the signs of life of all workers, in PostgreSQL and,
 * where it is configured, in Redis, and has the silent ones rescued. Suspect
 * ones too, if PostgreSQL says that their session has ended.
 */
#ifndef DAEMON_SCHEDULER_WATCH_H
#define DAEMON_SCHEDULER_WATCH_H

#include <stdbool.h>

#include "daemon/scheduler/signs.h"

struct event;
struct publisher;
struct redis;
struct scheduler;

struct watch {
	struct signs signs;
	struct event *timer;
	bool asked;		     /* the answer of PostgreSQL is awaited */
	bool ended_asked;	     /* that about the sessions of suspects */
	struct redis *redis;	     /* NULL: none configured */
	struct publisher *publisher; /* of events, over it; NULL as it is */
};

void scheduler_watch_open(struct scheduler *scheduler);
void scheduler_watch_close(struct scheduler *scheduler);
void scheduler_watch_start(
    struct scheduler *scheduler); /* the session serves */
void scheduler_watch_stop(
    struct scheduler *scheduler); /* the database was lost */
/* Redis or the cluster's name changed. */
void scheduler_watch_configure(struct scheduler *scheduler);

#endif
