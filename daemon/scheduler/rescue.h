/*
 * Handing back what dead workers held. A report stays in line until its rescue
 * has committed, however often the database goes away meanwhile; the
 * supervisor repeats what was not acknowledged, so one may come twice.
 */
#ifndef DAEMON_SCHEDULER_RESCUE_H
#define DAEMON_SCHEDULER_RESCUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct event;
struct procmsg;
struct scheduler;

struct rescue_report {
	TAILQ_ENTRY(rescue_report) link;
	uint64_t number; /* of the supervisor's report; 0: found here */
	int64_t worker;
	int backend_pid; /* to be terminated first; 0: none */
	bool crashed;	 /* no task can be to blame if it did not */
	char *cause;	 /* owned */
	char *started;	 /* owned; array of ids, NULL: not known */
	char *inside;	 /* owned; of them, those that ran in the worker */
};

struct rescue {
	TAILQ_HEAD(, rescue_report) line;
	bool busy; /* the first in line is being rescued */
	struct event *retry;
};

void rescue_open(struct scheduler *scheduler);
void rescue_close(struct scheduler *scheduler);

/* A PROCMSG_DEATH_REPORT. */
void rescue_reported(
    struct scheduler *scheduler, const struct procmsg *message);
/* A worker that this process holds for dead, with its supervisor: no crash.
 * Once in line, once only. */
void rescue_found(struct scheduler *scheduler, int64_t worker, int backend_pid,
    const char *cause);

/* The database is there; it is gone. */
void rescue_go(struct scheduler *scheduler);
void rescue_pause(struct scheduler *scheduler);

size_t rescue_waiting(const struct scheduler *scheduler);

#endif
