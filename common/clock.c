#include "common/clock.h"

#include <time.h>

static int64_t
read_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

struct mono
mono_now(void)
{
	return (struct mono){read_us(CLOCK_MONOTONIC)};
}

struct mono
mono_lately(void)
{
	return (struct mono){read_us(CLOCK_MONOTONIC_COARSE)};
}

int64_t
mono_us_between(struct mono earlier, struct mono later)
{
	return later.us - earlier.us;
}

int64_t
mono_ms_between(struct mono earlier, struct mono later)
{
	int64_t us = mono_us_between(earlier, later);
	int64_t ms = us / 1000;

	return us % 1000 < 0 ? ms - 1 : ms;
}

struct mono
mono_add_ms(struct mono at, int64_t ms)
{
	return (struct mono){at.us + ms * 1000};
}

int64_t
wall_now_us(void)
{
	return read_us(CLOCK_REALTIME);
}
