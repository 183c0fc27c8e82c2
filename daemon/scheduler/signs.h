/*
 * Signs of life of all workers, as this process watched them on its own
 * monotonic clock: the counter of beats in PostgreSQL, and when the key in
 * Redis will end. A worker is silent only when neither changed for the whole
 * limit while this process could look all the time; what it could not watch
 * counts for nothing.
 *
 * It is suspect earlier, when its key was seen and is no more, no beat came for
 * longer than one takes, and its session holds a lock by which its end can be
 * proven. One that only reconnects to PostgreSQL keeps its key; one that lost
 * Redis has its session, or registers anew, which is a beat, within that time.
 */
#ifndef DAEMON_SCHEDULER_SIGNS_H
#define DAEMON_SCHEDULER_SIGNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"

enum {
	SIGNS_LIMIT_MS = 10000,
	SIGNS_GAP_MS = 3000,	 /* between two looks; longer: watched anew */
	SIGNS_SUSPECT_MS = 6000, /* without a change; beats come every 5 s */
};

struct sign {
	int64_t worker, beats;
	int backend_pid;
	char name[128];	     /* host and pid, for the log */
	struct mono changed; /* the last change, or when watching began */
	struct mono key_end; /* of the key in Redis */
	bool key_seen;	     /* in this session with Redis */
	bool key_gone;	     /* it was seen, and the last answer was: none */
	bool locked;	     /* its session locks its id */
	bool seen;	     /* in the current look */
};

struct signs {
	struct sign *items; /* owned */
	size_t count;
	struct mono looked; /* the last complete look */
	struct mono since;  /* when watching began, or began anew */
};

void signs_free(struct signs *signs);

/* The limit starts anew for all: the database was lost. */
void signs_restart(struct signs *signs, struct mono now);

/* A look: begin, one call a living worker, end. Who was not named is gone. */
void signs_begin(struct signs *signs, struct mono now);
void signs_saw(struct signs *signs, int64_t worker, int64_t beats,
    int backend_pid, bool locked, const char *name, struct mono now);
void signs_end(struct signs *signs, struct mono now);

/* Redis keeps the key of `worker` for another `ttl_ms`, or as PTTL says. */
void signs_key(
    struct signs *signs, int64_t worker, int64_t ttl_ms, struct mono now);
/* Redis was lost: it may come back empty. */
void signs_keys_lost(struct signs *signs);

/* The next worker from index *at that is silent; NULL: no more. */
const struct sign *signs_silent(
    const struct signs *signs, size_t *at, struct mono now);
/* The same for those that are suspect and not yet silent. */
const struct sign *signs_suspect(
    const struct signs *signs, size_t *at, struct mono now);

#endif
