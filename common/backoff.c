#include "common/backoff.h"

#include <sys/random.h>

#include "common/clock.h"
#include "common/config.h"

int64_t
backoff_next(struct backoff *backoff, double random)
{
	int64_t last = backoff->last_ms;
	int64_t top, pause;

	if (last < backoff->first_ms)
		last = backoff->first_ms;
	top = last < backoff->max_ms / 3 ? last * 3 : backoff->max_ms;
	pause = backoff->first_ms;
	if (top > pause)
		pause += (int64_t)((double)(top - pause + 1) * random);
	if (pause > backoff->max_ms)
		pause = backoff->max_ms;
	backoff->last_ms = pause;
	return pause;
}

void
backoff_reset(struct backoff *backoff)
{
	backoff->last_ms = 0;
}

int64_t
backoff_task_ms(const struct backoff_config *config, int attempt, double random)
{
	double pause = (double)config->first_ms;

	for (int i = 1; i < attempt && pause < (double)config->max_ms; i++) {
		if (config->factor <= 1)
			break;
		pause *= config->factor;
	}
	if (pause > (double)config->max_ms)
		pause = (double)config->max_ms;
	pause *= 1 + config->jitter * (2 * random - 1);
	return (int64_t)(pause + 0.5);
}

double
backoff_random(void)
{
	uint64_t bits;

	/* Before the kernel's pool is filled the clock does for jitter. */
	if (getrandom(&bits, sizeof(bits), GRND_NONBLOCK) != sizeof(bits))
		bits = (uint64_t)mono_now().us * 0x9e3779b97f4a7c15u;
	return (double)(bits >> 11) * 0x1p-53;
}
