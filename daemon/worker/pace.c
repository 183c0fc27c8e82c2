#include "daemon/worker/pace.h"

struct pace
pace_new(struct mono now)
{
	return (struct pace){.tokens = PACE_BURST, .at = now};
}

static void
refill(struct pace *pace, struct mono now)
{
	double s = (double)mono_us_between(pace->at, now) / 1e6;

	pace->at = now;
	pace->tokens += s * PACE_TURNS_PER_S;
	if (pace->tokens > PACE_BURST)
		pace->tokens = PACE_BURST;
}

void
pace_turn(struct pace *pace, int tasks, struct mono now)
{
	refill(pace, now);
	if (tasks < PACE_TINY && pace->tokens > 0)
		pace->tokens -= 1;
}

int
pace_wait_ms(struct pace *pace, int tasks, struct mono now)
{
	refill(pace, now);
	return tasks >= PACE_TINY || pace->tokens >= 1 ? 0 : PACE_WAIT_MS;
}

bool
pace_hold(struct pace *pace, int ms, struct mono now)
{
	struct mono until = mono_add_ms(now, ms);

	if (pace->until.us != 0 && pace->until.us <= until.us)
		return false;
	pace->until = until;
	return true;
}

void
pace_go(struct pace *pace)
{
	pace->until.us = 0;
}
