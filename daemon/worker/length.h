/*
 * How long tasks of each kind take: sums are handed to the database every few
 * seconds, for flows to come (muster.kind_ran). What could not be told is lost:
 * it is an average.
 */
#ifndef DAEMON_WORKER_LENGTH_H
#define DAEMON_WORKER_LENGTH_H

struct worker;

enum { LENGTH_TELL_S = 10 };

void length_open(struct worker *worker);
/* Tells what there is, before this worker leaves. */
void length_tell(struct worker *worker);
void length_close(struct worker *worker);

#endif
