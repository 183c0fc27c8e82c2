/*
 * Whether the programs of exec handlers and the files of http handlers are
 * there at all, tried from inside the service before the first task needs one.
 */
#ifndef DAEMON_WORKER_PROGRAMS_H
#define DAEMON_WORKER_PROGRAMS_H

struct worker;

/* Tries those of the configuration in force that are named by a path. What
 * cannot be run is told in this worker's status, and by the first worker in
 * the log. */
void programs_try(struct worker *worker);

#endif
