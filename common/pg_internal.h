/* The inside of a connection, shared by common/pg*.c alone. */
#ifndef COMMON_PG_INTERNAL_H
#define COMMON_PG_INTERNAL_H

#include <sys/queue.h>

#include "common/backoff.h"
#include "common/clock.h"
#include "common/pg.h"
#include "common/pg_conninfo.h"
#include "common/resolve.h"
#include "common/text.h"

/*
 *   WAITING ─timer→ RESOLVING → CONNECTING → SETTING_UP → READY ⇄ BUSY
 *      ↑                ↑________ next address or host ┘    │      │
 *      └── no address is left ──────────────────────────────┴──────┘
 *
 * RESOLVING is passed through at once where there is nothing to look up. Any
 * state → FREED. The timer belongs to the state; READY has none.
 */
enum pg_state {
	PG_WAITING,    /* timer: the next attempt */
	PG_RESOLVING,  /* timer: attempt limit */
	PG_CONNECTING, /* timer: attempt limit */
	PG_SETTING_UP, /* timer: attempt limit */
	PG_READY,
	PG_BUSY, /* timer: statement limit */
	PG_FREED,
};

enum { PG_MAGIC = 0x70676767, PG_STATEMENTS = 64 };

/* A statement in line or in flight. */
struct pg_request {
	STAILQ_ENTRY(pg_request) link;
	const struct pg_statement *statement;
	pg_result_cb *on_result; /* NULL: nobody asks */
	void *argument;
	bool preparing;	      /* what is in flight is its PREPARE */
	PGresult *result;     /* the last one that came */
	const char *values[]; /* NULL or behind the array; owned */
};

STAILQ_HEAD(pg_line, pg_request);

struct pg {
	unsigned magic;
	enum pg_state state;
	int depth; /* callbacks of ours on the stack; freed at 0 */
	struct event_base *base;
	struct pg_callbacks callbacks;
	void *argument;
	bool prepare, pooled;
	bool through_pooler; /* in this session, by the server's word */
	char *listen;	     /* channel; NULL: none */
	int64_t connect_timeout_ms, statement_limit_ms;

	struct pg_conninfo *info; /* NULL: not understood */
	char *conninfo_error;
	struct backoff backoff;
	struct mono ready_since;
	bool was_ready; /* in this session: its loss is no failed attempt */

	/* The round over hosts and addresses. */
	size_t host;	  /* index of the one being tried */
	size_t address;	  /* index in addresses */
	char **addresses; /* of this host, in numbers; may be empty */
	size_t address_count;
	struct resolve *resolve; /* while RESOLVING */
	struct text reasons;	 /* why the earlier ones of this round failed */

	PGconn *conn;
	PGresult *facts; /* of the server, while SETTING_UP */
	struct event *reading, *writing, *timer;
	uint32_t timeline; /* 0: not known yet */
	char system[24];   /* identifier of the cluster it belongs to */
	const struct pg_statement *prepared[PG_STATEMENTS];
	size_t prepared_count;
	struct pg_line line; /* the first is in flight while BUSY */
};

/* pg.c */
void pg_set_state(struct pg *pg, enum pg_state state);
void pg_set_timer(struct pg *pg, int64_t ms);
/* Around everything that may call back; after pg_leave the connection may no
 * longer exist. */
void pg_enter(struct pg *pg);
void pg_leave(struct pg *pg);
/* The session is over or the round of attempts has failed. */
void pg_lost(struct pg *pg, const char *reason);
/* libpq's message as one line (static buffer). */
const char *pg_connection_error(const struct pg *pg);

/* pg_connect.c */
void pg_connect_start(struct pg *pg); /* a round from the first host */
/* On to the next address or host; after the last one the round has failed. */
void pg_connect_failed(struct pg *pg, const char *reason);
void pg_connect_timed_out(struct pg *pg); /* RESOLVING, … SETTING_UP */
void pg_connect_drop(struct pg *pg);	  /* lets go of all of it */

/* pg_setup.c: from the open socket to a session that is READY */
void pg_setup_io(struct pg *pg); /* CONNECTING, SETTING_UP */

/* pg_watch.c: the events of the socket */
bool pg_watch_session(struct pg *pg); /* reading for good */
bool pg_watch_once(struct pg *pg, short what);
void pg_watch_stop(struct pg *pg);
void pg_watch_write(struct pg *pg); /* once more, libpq has bytes left */

/* pg_queue.c */
void pg_queue_pump(struct pg *pg); /* READY: sends the next in line */
void pg_queue_readable(struct pg *pg);
void pg_queue_writable(struct pg *pg);
void pg_queue_fail(struct pg *pg);     /* NULL to everyone in line */
void pg_queue_notifies(struct pg *pg); /* hands out those that came */

#endif
