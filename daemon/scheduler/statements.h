/* All SQL of the scheduler, and the order of columns its readers rely on. */
#ifndef DAEMON_SCHEDULER_STATEMENTS_H
#define DAEMON_SCHEDULER_STATEMENTS_H

#include "common/pg.h"

extern const struct pg_statement scheduler_schema;   /* version, compatible */
extern const struct pg_statement scheduler_sleep_on; /* instance, id */
extern const struct pg_statement scheduler_wake_up;  /* id */
extern const struct pg_statement scheduler_set_max_payload; /* bytes */

/* Chores: limit → rows. */
extern const struct pg_statement scheduler_carry_out, scheduler_admit,
    scheduler_unlock, scheduler_expand;
extern const struct pg_statement scheduler_due; /* limit, floor */
extern const struct pg_statement scheduler_mark, scheduler_tidy; /* – */

extern const struct pg_statement scheduler_purge; /* limit, queues, keep_ms */
enum purge_column { PURGE_DONE, PURGE_NEXT_IN_MS };

/* – → whether there is something for … */
extern const struct pg_statement scheduler_look;
enum look_column {
	LOOK_CARRY_OUT,
	LOOK_ADMIT,
	LOOK_UNLOCK,
	LOOK_FOLD,
	LOOK_EXPAND,
	LOOK_COLUMNS,
};

/* limit, whether the flows that end are wanted → a row each, one at least */
extern const struct pg_statement scheduler_fold;
enum fold_column {
	FOLD_DONE,
	FOLD_FLOW, /* null: none ended */
	FOLD_NAME,
	FOLD_STATE,
	FOLD_TOTAL,
	FOLD_SUCCEEDED,
	FOLD_FAILED,
	FOLD_CANCELLED,
	FOLD_SKIPPED,
	FOLD_ERROR,
};

extern const struct pg_statement scheduler_fire; /* limit, floor */

/* Of due and of fire. */
enum due_column { DUE_MOVED, DUE_NEXT_IN_MS, DUE_FLOOR };

/* instance, schedules → how many changed and removed; null: come again */
extern const struct pg_statement scheduler_sync;

extern const struct pg_statement scheduler_signs;
enum signs_column {
	SIGNS_WORKER,
	SIGNS_INSTANCE,
	SIGNS_HOST,
	SIGNS_PID,
	SIGNS_BACKEND_PID,
	SIGNS_BEATS,
	SIGNS_LOCKED,
};
/* workers, least time that the server is up, ms → those of ended sessions */
extern const struct pg_statement scheduler_ended;

/* Backend pid → whether a session of a worker's was ended. */
extern const struct pg_statement scheduler_terminate;
/* Triggers, in a session of their own. */
extern const struct pg_statement scheduler_own_session;
extern const struct pg_statement scheduler_hold; /* names → those held now */
extern const struct pg_statement scheduler_let_go; /* name */
/* kind, payloads, queue, priority → how many */
extern const struct pg_statement scheduler_enqueue_many;

/* worker, cause, started ids or null, crash limit, those inside → a row for
 * each task that ended with it, one at least */
extern const struct pg_statement scheduler_rescue;
enum rescue_column {
	RESCUE_HANDED_BACK,
	RESCUE_FAILED,
	RESCUE_WAS_ALIVE, /* until now; null: unknown */
	RESCUE_TASK,	  /* null: none ended */
	RESCUE_KIND,
	RESCUE_QUEUE,
	RESCUE_FLOW,
	RESCUE_ATTEMPT,
	RESCUE_STATE,
	RESCUE_ERROR,
};

#endif
