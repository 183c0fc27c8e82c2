/*
 * How long to wait before the next try. The functions are pure: randomness is
 * handed in as a number from 0 up to but not including 1 (backoff_random).
 */
#ifndef COMMON_BACKOFF_H
#define COMMON_BACKOFF_H

#include <stdint.h>

struct backoff_config;

/*
 * Of a connection or a child: decorrelated jitter, so that a thousand clients
 * of one server that fell don't come back in step. Set first and max.
 */
struct backoff {
	int64_t first_ms, max_ms;
	int64_t last_ms; /* 0: the last try worked */
};

/* The next pause: between first and three times the last one, at most max. */
int64_t backoff_next(struct backoff *backoff, double random);

/* The try worked: the next pause is a first one again. */
void backoff_reset(struct backoff *backoff);

/* Of a task whose attempt number `attempt` (from 1) failed: first ×
 * factor^(attempt-1), at most max, then moved by up to ± jitter. */
int64_t backoff_task_ms(
    const struct backoff_config *config, int attempt, double random);

/* A random number, 0 <= r < 1; from any thread, different after a fork. */
double backoff_random(void);

#endif
