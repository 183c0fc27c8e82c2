/*
 * The two connections of the scheduler. What it does depends on the one that
 * runs statements:
 *
 *   AWAY ─connected→ CHECKING ─schema fits→ SERVING ─end→ LEAVING
 *     ↑                 │ first life of this supervisor  ↑
 *     │ lost            └→ CLEARING ─all rescued─────────┤
 *     └──────────────────────────────────────────────────┘
 *
 * READY is sent when SERVING is reached for the first time.
 */
#ifndef DAEMON_SCHEDULER_SESSION_H
#define DAEMON_SCHEDULER_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/pg.h"

struct event;
struct scheduler;

enum session_state {
	SESSION_AWAY,
	SESSION_CHECKING,
	SESSION_CLEARING,
	SESSION_SERVING,
	SESSION_LEAVING,
};

struct session {
	enum session_state state;
	struct pg *hand, *ear;
	struct event *retry; /* of a check that was refused */
	struct event *limit; /* of leaving */
	int64_t id;	     /* of this scheduler among the sleepers: < 0 */
	bool cleared;	     /* nothing is left of an earlier life */
	bool ready_sent;
	bool lost_told; /* the outage is in the log */
	bool deaf_told; /* that wake-ups may be lost, too */
};

void session_open(struct scheduler *scheduler);
void session_close(struct scheduler *scheduler);

/* Another database or way of connecting: both connections are made anew. */
void session_reopen(struct scheduler *scheduler);

/* Leaves the database in order, then ends the process. */
void session_leave(struct scheduler *scheduler, int64_t limit_ms);

/* Tells the database what the configuration says and the SQL obeys, unless it
 * is away: then SERVING does. */
void session_bring_settings(struct scheduler *scheduler);

/* No death report is left. */
void session_all_rescued(struct scheduler *scheduler);

/* Sends a statement whose answer gets the scheduler. False while there is no
 * session: then nothing was sent, and SERVING will come again. */
bool session_send(struct scheduler *scheduler,
    const struct pg_statement *statement, const char *const *values,
    pg_result_cb *on_result);

#endif
