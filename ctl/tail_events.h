/* musterctl tail --events */
#ifndef CTL_TAIL_EVENTS_H
#define CTL_TAIL_EVENTS_H

#include "ctl/ctl.h"

/* Prints each event of these types, a glob, until a signal comes. */
int tail_events(struct ctl *ctl, const char *types);

#endif
