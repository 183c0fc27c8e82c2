/*
 * The worker's sign of life in Redis: a key with a time to live, set anew at
 * each heartbeat. A hint for the schedulers; an error in it harms nothing.
 */
#ifndef DAEMON_WORKER_HEARTBEAT_H
#define DAEMON_WORKER_HEARTBEAT_H

struct event;
struct redis;
struct worker;

enum { HEARTBEAT_TTL_MS = 3000 }; /* at least */

struct heartbeat {
	struct redis *redis; /* NULL: none configured */
	struct event *beat;
};

void heartbeat_open(struct worker *worker);
void heartbeat_close(struct worker *worker);
/* The interval may have changed. */
void heartbeat_configure(struct worker *worker);
/* The worker leaves: its key goes. */
void heartbeat_end(struct worker *worker);

#endif
