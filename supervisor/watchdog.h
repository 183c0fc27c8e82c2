/*
 * Loops that do not turn. Counted is the time in which this process itself
 * turned and saw no tick: if the whole machine slept, nobody is to blame.
 */
#ifndef SUPERVISOR_WATCHDOG_H
#define SUPERVISOR_WATCHDOG_H

struct supervisor;

void watchdog_open(struct supervisor *supervisor);
void watchdog_close(struct supervisor *supervisor);

#endif
