/*
 * The worker: what it is made of, and how its parts call each other. One event
 * loop, one hot connection to PostgreSQL with at most one turn in flight:
 *
 *   turn ──claimed──→ run ──outcome──→ verdict ──finish──→ turn
 *
 * turn     the round trip: finishes out, claimed tasks in
 * run      from the claim to the outcome: slots, start, cancel
 * chain    tasks of one key that run one after the other
 * time_limit  what runs for too long is cancelled
 * fetch    payloads and inputs that did not come with the turn
 * member   who this worker is in the database; reconnects
 * budget   limits across hosts: slots and tokens, borrowed
 * length   how long tasks take, told now and then
 * drain    the way out
 * heartbeat, others  signs of life; slots that other workers take
 * stream, outbox, events   what tasks tell while they run
 * announce  what happens, for those who subscribe
 */
#ifndef DAEMON_WORKER_WORKER_H
#define DAEMON_WORKER_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/child.h"
#include "common/loop.h"
#include "common/pg.h"
#include "daemon/worker/announce.h"
#include "daemon/worker/budget.h"
#include "daemon/worker/drain.h"
#include "daemon/worker/due.h"
#include "daemon/worker/events.h"
#include "daemon/worker/fetch.h"
#include "daemon/worker/generation.h"
#include "daemon/worker/heartbeat.h"
#include "daemon/worker/member.h"
#include "daemon/worker/others.h"
#include "daemon/worker/route.h"
#include "daemon/worker/run.h"
#include "daemon/worker/time_limit.h"
#include "daemon/worker/turn.h"

struct outbox;
struct publisher;
struct sql_pool;

struct worker {
	struct loop *loop;
	struct event_base *base;
	struct scoreboard *board;
	int slot;
	const char *instance;

	struct config *config; /* in force; belongs to its generation */
	uint64_t generation;   /* its number */
	struct generation_list generations; /* the first is in force */
	struct share_list queues, kinds;
	struct share sql_share;	     /* extra connections for sql tasks */
	struct share sql_fast_share; /* those that may wait for one */
	struct route_list routes;

	struct running_table table;
	struct running_list fetching, started, finished, sent;
	size_t held_bytes; /* in payloads, inputs, results, errors */
	size_t finished_count;
	bool finished_flow;		/* among them may be tasks of flows */
	bool finished_presses;		/* they may not all be such as left
					   their slot to the next of a chain */
	const struct share *cannot_run; /* kind whose handler could not start
					   of late; NULL: none */
	bool program_missing;  /* programs_try found one, the status says so */
	bool capacity_changed; /* of a handler, or an earlier one has one task
				  less: share out anew */

	struct pg *pg;
	struct sql_pool *sql_pool;
	struct run run;
	struct time_limit limits;
	struct turn turn;
	struct fetch fetch;
	struct member member;
	struct drain drain;
	struct due due;
	struct heartbeat heartbeat;
	struct others others;
	struct budget_list budgets;
	struct event *lengths; /* learned ones are handed over (length.h) */
	struct outbox *outbox; /* NULL: without Redis */
	struct publisher *publisher; /* of events; NULL: without Redis */
	int64_t announced_up;	     /* the id told as up; 0: none */
	struct events events;
	struct event *wake; /* readable: there may be work */
};

/* Takes over a configuration: opens its handlers, shares out slots. Its new
 * routes come with the next registration. */
void worker_configure(
    struct worker *worker, struct config *config, uint64_t generation);
/* Gives each route and share its limit under the configuration in force. */
void worker_share_out(struct worker *worker);
/* Does so if a handler said that it can take more, or less, than before. */
void worker_look_at_capacity(struct worker *worker);

#endif
