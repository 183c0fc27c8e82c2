/*
 * The way to RUNNING: the configuration is checked, the locks are taken, what
 * an earlier supervisor left ends, the scheduler rescues, the workers start.
 */
#ifndef SUPERVISOR_START_H
#define SUPERVISOR_START_H

struct supervisor;

void start_begin(struct supervisor *supervisor);
/* Facts have changed while STARTING. */
void start_step(struct supervisor *supervisor);
void start_close(struct supervisor *supervisor);

#endif
