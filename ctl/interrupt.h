/*
 * SIGINT and SIGTERM. A verb that has nothing to put in order ends at once
 * with 130; one that has (run cancels its flow) asks for a flag instead, and
 * the second signal ends it.
 */
#ifndef CTL_INTERRUPT_H
#define CTL_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>

void interrupt_install(void);
/* From now on the first signal only raises the flag. */
void interrupt_hold(void);
bool interrupt_seen(void);
/* The flag was seen to: what comes next is another signal. */
void interrupt_rearm(void);

/* Waits; true: the whole time, false: a signal came. */
bool interrupt_wait_ms(int64_t ms);

#endif
