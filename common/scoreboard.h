/*
 * The memory that a child shares with its supervisor: a sealed memfd, written
 * by the child alone, read by the supervisor at any time and after the child's
 * death. Every value is range-checked by the reader; slots are written under a
 * sequence count so that a crash in mid-write is recognised.
 */
#ifndef COMMON_SCOREBOARD_H
#define COMMON_SCOREBOARD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/histogram.h"
#include "common/scoreboard_pool.h"

enum {
	SCOREBOARD_SLOTS = 8192,   /* running tasks of a worker, at most */
	SCOREBOARD_GROUPS = 4096,  /* process groups that outlive a task */
	SCOREBOARD_NAME_SIZE = 48, /* of a callback, with its NUL */
};

/* One running task. */
struct scoreboard_slot {
	uint32_t sequence;    /* odd while being written */
	int32_t group;	      /* process group of its handler; 0: none */
	int64_t task;	      /* 0: free */
	int64_t started_us;   /* monotonic */
	uint32_t queue, kind; /* scoreboard_hash of their names: the other
				 workers count them */
	uint32_t inside;      /* it runs in the worker's own process, now */
	uint64_t group_start; /* start time of the group's leader, in clock
				 ticks since boot (/proc/PID/stat field 22) */
};

/* A process group that belongs to no single task: a pool's process. */
struct scoreboard_group {
	uint32_t sequence; /* as above */
	int32_t group;	   /* 0: free */
	uint64_t start;	   /* as group_start */
};

enum scoreboard_counter {
	SCOREBOARD_CLAIMED,
	SCOREBOARD_SUCCEEDED,
	SCOREBOARD_FAILED,
	SCOREBOARD_RETRIED,
	SCOREBOARD_RELEASED,
	SCOREBOARD_FENCED,
	SCOREBOARD_TURNS,
	SCOREBOARD_LOG_DROPPED,
	SCOREBOARD_HEARTBEATS,
	SCOREBOARD_STREAMED,	     /* messages of tasks, sent to Redis */
	SCOREBOARD_STREAM_DROPPED,   /* and not sent */
	SCOREBOARD_EVENTS_REFUSED,   /* lines that programs should not write */
	SCOREBOARD_EVENTS_PUBLISHED, /* that somebody subscribes to */
	SCOREBOARD_EVENTS_DROPPED,   /* and that did not go out */
	SCOREBOARD_TRIGGERED,	     /* tasks enqueued by triggers */
	SCOREBOARD_TRIGGERS_DROPPED, /* messages that became none */
	SCOREBOARD_COUNTERS
};

enum scoreboard_state {
	SCOREBOARD_STARTING,
	SCOREBOARD_RUNNING,
	SCOREBOARD_DRAINING,
	SCOREBOARD_DATABASE_AWAY,
};

struct scoreboard;

/* Supervisor: a new memory and its sealed descriptor (close-on-exec; the
 * scoreboard keeps it). NULL with errno set when there is no memory. */
struct scoreboard *scoreboard_new(void);
int scoreboard_fd(const struct scoreboard *board);
/* Child: maps what it was handed; refuses another size or version (NULL). */
struct scoreboard *scoreboard_open(int fd);
struct scoreboard *scoreboard_free(struct scoreboard *board); /* NULL ok */

/* Writer's side (the child's main thread only). */
void scoreboard_tick(struct scoreboard *board); /* the loop turns */
/* What runs now, a string literal; NULL: the loop waits for events. */
void scoreboard_enter(struct scoreboard *board, const char *callback);
/* A worker's own slot, and the number of the configuration by which all that
 * it starts from now on goes. */
void scoreboard_set_config(
    struct scoreboard *board, int place, uint64_t generation);
void scoreboard_set_worker(struct scoreboard *board, int64_t worker_id);
void scoreboard_set_state(
    struct scoreboard *board, enum scoreboard_state state);
void scoreboard_count(
    struct scoreboard *board, enum scoreboard_counter which, uint64_t more);
struct histogram *scoreboard_lag(struct scoreboard *board); /* loop lag, us */
/*
 * Takes a slot for a task before it starts; returns its number, or -ENOSPC.
 * scoreboard_set_group adds the handler's process group once it exists.
 */
int scoreboard_task_begin(struct scoreboard *board, int64_t task,
    const char *queue, const char *kind);
void scoreboard_set_group(
    struct scoreboard *board, int slot, pid_t group, uint64_t group_start);
/* A thread of the child may call it too, while the task has its slot. */
void scoreboard_set_inside(struct scoreboard *board, int slot, bool inside);
void scoreboard_task_end(struct scoreboard *board, int slot);
/* A process group that may run several tasks or none; its number, or -ENOSPC.
 */
int scoreboard_group_begin(
    struct scoreboard *board, pid_t group, uint64_t group_start);
void scoreboard_group_end(struct scoreboard *board, int index);
/* SCOREBOARD_POOLS places; see scoreboard_pool.h. */
struct scoreboard_pool *scoreboard_pools(struct scoreboard *board);

/* Reader's side (the supervisor). */
int64_t scoreboard_tick_us(const struct scoreboard *board); /* monotonic */
void scoreboard_callback(const struct scoreboard *board,
    char ret_name[SCOREBOARD_NAME_SIZE]); /* "" : waiting for events */
int64_t scoreboard_worker(const struct scoreboard *board);
int scoreboard_place(const struct scoreboard *board);		/* 0 or more */
uint64_t scoreboard_generation(const struct scoreboard *board); /* 0: none */
enum scoreboard_state scoreboard_state(const struct scoreboard *board);
uint64_t scoreboard_counter(
    const struct scoreboard *board, enum scoreboard_counter which);
const struct histogram *scoreboard_lag_read(const struct scoreboard *board);
const struct scoreboard_pool *scoreboard_pools_read(
    const struct scoreboard *board);
/*
 * Copies a slot that is in use and whole; false otherwise. A slot torn by a
 * crash is reported through `ret_torn` (then the started set is not known).
 */
bool scoreboard_slot(const struct scoreboard *board, int index,
    struct scoreboard_slot *ret_slot, bool *ret_torn);

/* The same of a process group. */
bool scoreboard_group(const struct scoreboard *board, int index,
    struct scoreboard_group *ret_group);

/*
 * Supervisor, once its child is dead and what ran there is accounted for: the
 * board shows no task any more and the state draining, so that a worker that
 * looks at the others' waits for nobody.
 */
void scoreboard_retire(struct scoreboard *board);

uint32_t scoreboard_hash(const char *name);

#endif
