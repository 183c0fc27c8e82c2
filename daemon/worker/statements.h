/*
 * All SQL of the worker, and the order of columns that its readers rely on.
 */
#ifndef DAEMON_WORKER_STATEMENTS_H
#define DAEMON_WORKER_STATEMENTS_H

#include "common/pg.h"

extern const struct pg_statement statement_register;
extern const struct pg_statement statement_turn;
extern const struct pg_statement statement_leases;  /* lease, task */
extern const struct pg_statement statement_states;  /* task, state */
extern const struct pg_statement statement_payload; /* task, payload */
extern const struct pg_statement statement_inputs;  /* task, inputs */
extern const struct pg_statement statement_warm_up;
extern const struct pg_statement statement_beat;
extern const struct pg_statement statement_borrow; /* enum borrow_column */
extern const struct pg_statement statement_kind_ran;
extern const struct pg_statement statement_sleep_on;
extern const struct pg_statement statement_wake_up;
extern const struct pg_statement statement_leave;
extern const struct pg_statement statement_cancel_backend;
/* On the connections of sql tasks. */
extern const struct pg_statement statement_sql_setup;
extern const struct pg_statement statement_sql_check;
extern const struct pg_statement statement_sql_tasks; /* failed, ran_us */

enum register_column { REGISTER_ROUTE, REGISTER_QUEUE, REGISTER_KIND };

enum turn_parameter {
	TURN_WORKER,
	TURN_LEASES,
	TURN_TASKS,
	TURN_OUTCOMES,
	TURN_RAN_MS,
	TURN_DELAY_MS,
	TURN_RESULTS,
	TURN_ERRORS,
	TURN_ROUTES,
	TURN_WANTS,
	TURN_MAX,
	TURN_MAX_BYTES,
	TURN_FLOOR_ROUTES,
	TURN_FLOOR_RANKS,
	TURN_FLOOR_LANES,
	TURN_FLOOR_SEQS,
	TURN_CHAINS,
	TURN_PARAMETERS
};

enum turn_column {
	TURN_WHAT,
	TURN_LEASE,
	TURN_TASK,
	TURN_ROUTE,
	TURN_RANK,
	TURN_LANE,
	TURN_SEQ,
	TURN_FLOW,
	TURN_ATTEMPT,
	TURN_SNOOZES,
	TURN_MAX_ATTEMPTS,
	TURN_TIMEOUT_MS,
	TURN_HAS_NEEDS,
	TURN_PAYLOAD,
	TURN_RESCUES,
	TURN_FOLLOWERS,
	TURN_EXPECT_MS
};

enum borrow_parameter {
	BORROW_WORKER,
	BORROW_SCOPES,
	BORROW_NAMES,
	BORROW_MAX,
	BORROW_RATES,
	BORROW_BURSTS,
	BORROW_PARTS,
	BORROW_BUSY,
	BORROW_KEEP,
	BORROW_LEFT,
	BORROW_SPENT_MS,
	BORROW_DUE,
	BORROW_ROOM,
	BORROW_PARAMETERS
};

enum borrow_column {
	BORROW_ITEM,
	BORROW_HELD,
	BORROW_TARGET,
	BORROW_CONTENDED,
	BORROW_SHORT,
	BORROW_READY,
	BORROW_TOKENS,
	BORROW_WAIT_MS
};

#endif
