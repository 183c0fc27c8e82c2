/*
 * Messages between the supervisor and its children, over a Unix stream
 * socketpair. Each is a fixed header and a body; at most one descriptor goes
 * with it. Unknown types, other versions and half messages at the end of the
 * stream are errors that the receiver treats as the end of its peer.
 *
 * The channel is event-driven and never blocks: writes are queued.
 */
#ifndef COMMON_PROCMSG_H
#define COMMON_PROCMSG_H

#include <stddef.h>
#include <stdint.h>

struct event_base;

enum { PROCMSG_BODY_LIMIT = 1 << 20 };

/* In PROCMSG_DRAIN: tasks run as long as they may. */
#define PROCMSG_NO_LIMIT_MS (INT64_C(365) * 24 * 3600 * 1000)

enum procmsg_type {
	/* supervisor → child */
	PROCMSG_CONFIG = 1, /* descriptor: memfd of the blob; take it over */
	PROCMSG_DRAIN,	    /* body: int64 ms until running tasks are cancelled,
			       int64 ms until the process must be gone; may
			       come again with shorter times */
	PROCMSG_LOG_LEVEL,  /* body: int32 level */
	PROCMSG_LOG_STATE,  /* log what you do (SIGUSR1) */
	PROCMSG_WORKER_FD,  /* to the scheduler: struct procmsg_worker,
			       descriptor: its wake-up eventfd; sent again
			       when the worker's id changes */
	PROCMSG_WORKER_GONE,  /* to the scheduler: body: int32 slot */
	PROCMSG_DEATH_REPORT, /* to the scheduler: struct procmsg_death + ids */
	PROCMSG_BOARD,	      /* to a worker: descriptor: the scoreboard of
				 another one, of which the configuration that
				 follows has to know */
	/* child → supervisor */
	PROCMSG_READY = 64,   /* database reached, schema fits */
	PROCMSG_STATUS,	      /* body: text for STATUS= and musterctl status */
	PROCMSG_CONFIG_TAKEN, /* the configuration of this generation is used */
	PROCMSG_IDENTITY,     /* body: struct procmsg_identity: new worker id */
	PROCMSG_DEATH_ACK,    /* from the scheduler: body: uint64 report number;
				 its rescue has committed */
	PROCMSG_DRAINED,      /* nothing left; body: struct procmsg_drained */
};

struct procmsg_identity {
	int64_t worker_id; /* the id in PostgreSQL's worker table */
};

struct procmsg_worker {
	int64_t worker_id; /* 0: not registered yet */
	int32_t slot; /* names the descriptor: unique among the living, from
			 0, below 2048; not the worker's --slot */
};

/* A dead child's last words, read from its scoreboard by the supervisor. */
struct procmsg_death {
	uint64_t number;   /* of the report; repeated until acknowledged */
	int64_t worker_id; /* 0: it never registered */
	int32_t pid, signal, status;
	int32_t crashed;       /* 0: it ended as it was told to, with leases */
	int32_t started_known; /* 0: the scoreboard could not be read */
	uint32_t started;      /* ids that follow: int64 each */
	uint32_t inside; /* of them, the first so many ran in the worker's own
			    process, and may have killed it */
	char cause[128]; /* in words: "killed by signal 9 (SIGKILL)" */
};

struct procmsg_drained {
	uint32_t unrecorded; /* finished, PostgreSQL not told; ids are logged */
};

/* A message as received. `fd` (or -1) belongs to the callback. */
struct procmsg {
	enum procmsg_type type;
	uint64_t generation;
	const void *body; /* valid during the callback */
	size_t size;
	int fd;
};

struct procmsg_channel;

typedef void procmsg_cb(const struct procmsg *message, void *argument);
/* The peer is gone or spoke nonsense (`reason` says which). Called once. */
typedef void procmsg_end_cb(const char *reason, void *argument);

/* Takes over `fd` (made non-blocking and close-on-exec). */
struct procmsg_channel *procmsg_channel_new(struct event_base *base, int fd,
    procmsg_cb *on_message, procmsg_end_cb *on_end, void *argument);
/* Closes; safe inside its callbacks; takes NULL; returns NULL. */
struct procmsg_channel *procmsg_channel_free(struct procmsg_channel *channel);

/* Reads and delivers now what a peer that is dead had still sent. */
void procmsg_channel_finish(struct procmsg_channel *channel);

/*
 * Queues a message; `fd` is duplicated (-1: none). Returns 0, or -EPIPE after
 * the end of the peer, -ENOBUFS when more than 4 MiB wait (the peer hangs).
 */
int procmsg_send(struct procmsg_channel *channel, enum procmsg_type type,
    uint64_t generation, const void *body, size_t size, int fd)
    __attribute__((warn_unused_result));

/* Bytes queued and not yet written; 0 after the end of the peer. */
size_t procmsg_pending(const struct procmsg_channel *channel);

/* A socketpair for a channel, both ends close-on-exec. 0 or -errno. */
int procmsg_pair(int ret_fds[2]) __attribute__((warn_unused_result));

#endif
