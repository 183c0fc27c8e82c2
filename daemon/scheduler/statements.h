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
    scheduler_unlock, scheduler_fold, scheduler_expand;
extern const struct pg_statement scheduler_due;	  /* limit, floor */
extern const struct pg_statement scheduler_mark;  /* – */
extern const struct pg_statement scheduler_purge; /* limit, queues, keep_ms */

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
/* worker, cause, started ids or null, crash limit → handed back, failed */
extern const struct pg_statement scheduler_rescue;

#endif
