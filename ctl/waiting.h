/* A word to a person at the terminal while a server takes its time. */
#ifndef CTL_WAITING_H
#define CTL_WAITING_H

#include "common/clock.h"

/* To be called now and then: after a second of waiting since `since` it says
 * on standard error, if that is a terminal, for how long already. */
void waiting_show(struct mono since);
/* The wait is over: what was said disappears. */
void waiting_end(void);

/* The same while many things are done: a bar of how many were already. */
void waiting_show_bar(struct mono since, int64_t done, int64_t total);
void waiting_end_bar(void);

#endif
