/*
 * What programs of tasks tell while they run: a FIFO of the worker's, named to
 * them as MUSTER_EVENTS, into which each writes lines in one piece. They share
 * it, so each line proves by its token whose it is. What is no such line is
 * dropped and counted, and the log is told at most once a minute.
 */
#ifndef DAEMON_WORKER_EVENTS_H
#define DAEMON_WORKER_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "daemon/worker/events_line.h"

struct event;
struct worker;

enum {
	EVENTS_READ_MAX = 64 * 1024,  /* before the loop goes on */
	EVENTS_PIPE_MAX = 256 * 1024, /* in the FIFO */
	EVENTS_COMPLAIN_MS = 60 * 1000,
};

struct events {
	int fd;	    /* -1: there is none */
	char *path; /* owned */
	struct event *readable;
	char buffer[2 * EVENTS_LINE_MAX]; /* the line that is not whole yet */
	size_t length;
	bool skipping; /* to the end of an over-long line */
	uint64_t refused;
	bool complained_once;
	struct mono complained;
};

/* Before the handlers are opened: it sets MUSTER_EVENTS for them. */
void events_open(struct worker *worker, const char *runtime_dir);
void events_close(struct worker *worker);
/* A task's program ended: what it told last is in the FIFO, and is to be heard
 * while the task is still known. */
void events_catch_up(struct worker *worker);

#endif
