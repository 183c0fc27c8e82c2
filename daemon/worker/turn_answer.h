/*
 * The answer to a turn: what was told is forgotten, what was claimed goes on
 * to run. Inside of the turn; see turn.h.
 */
#ifndef DAEMON_WORKER_TURN_ANSWER_H
#define DAEMON_WORKER_TURN_ANSWER_H

#include <libpq-fe.h>
#include <stdint.h>

struct worker;

/* pg_result_cb; the argument is the worker. */
void turn_on_answer(PGresult *result, void *argument);

/* The next look after this time, unless something happens before. */
void turn_timer(struct worker *worker, int64_t ms);

#endif
