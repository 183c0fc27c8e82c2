/*
 * What each signal to the supervisor does: one table.
 */
#ifndef SUPERVISOR_SIGNALS_H
#define SUPERVISOR_SIGNALS_H

struct supervisor;

void signals_open(struct supervisor *supervisor);
void signals_close(struct supervisor *supervisor);

#endif
