/*
 * A turn that PostgreSQL refused: nothing of it took effect. Where a value is
 * to blame the guilty finish is searched for; else the turn is tried again.
 */
#ifndef DAEMON_WORKER_TURN_REFUSED_H
#define DAEMON_WORKER_TURN_REFUSED_H

#include <libpq-fe.h>

struct worker;

void turn_refused(struct worker *worker, const PGresult *result);

#endif
