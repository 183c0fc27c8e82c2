/*
 * When a process was started: with its number it names it for good, since
 * numbers are used again.
 */
#ifndef COMMON_START_TIME_H
#define COMMON_START_TIME_H

#include <stdint.h>
#include <sys/types.h>

/* In clock ticks since the machine's start, as /proc gives it; 0: no such
 * process. */
uint64_t process_start_time(pid_t pid);

#endif
