/*
 * The schedules of the configuration, brought into the database at start and at
 * each reload. What they fire is CHORE_FIRE's.
 */
#ifndef DAEMON_SCHEDULER_SCHEDULES_H
#define DAEMON_SCHEDULER_SCHEDULES_H

struct event;
struct scheduler;

struct schedules {
	struct event *retry;
};

void schedules_open(struct scheduler *scheduler);
void schedules_close(struct scheduler *scheduler);

/* Brings them, unless the database is away: then SERVING does. */
void schedules_bring(struct scheduler *scheduler);

#endif
