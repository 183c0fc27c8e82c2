/*
 * Time. Inside the program time is monotonic, in milliseconds or microseconds;
 * wall-clock time appears only at the edges (logs, deadlines for handlers).
 */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdint.h>

/* A moment on this machine's monotonic clock; never stored or sent away. */
struct mono {
	int64_t us;
};

/* The moment now. Reads the clock anew at each call. */
struct mono mono_now(void);

/* A moment up to 10 ms ago, at a fifth of the price. */
struct mono mono_lately(void);

/* Milliseconds (rounded down) or microseconds from `earlier` to `later`. */
int64_t mono_ms_between(struct mono earlier, struct mono later);
int64_t mono_us_between(struct mono earlier, struct mono later);

/* `at` moved by `ms` milliseconds (may be negative). */
struct mono mono_add_ms(struct mono at, int64_t ms);

/* Microseconds since 1970-01-01 UTC, by the wall clock. */
int64_t wall_now_us(void);

#endif
