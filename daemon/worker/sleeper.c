#include "daemon/worker/sleeper.h"

static bool
may_change(const struct sleeper *sleeper, struct mono now)
{
	return sleeper->changed.us == 0 ||
	       mono_ms_between(sleeper->changed, now) >= SLEEPER_CHANGE_MS;
}

static void
note_busy(struct sleeper *sleeper, enum sleeper_found found, struct mono now)
{
	bool gap = found == SLEEPER_SOME &&
		   mono_ms_between(sleeper->last_turn, now) > SLEEPER_GAP_MS;

	sleeper->last_turn = now;
	if (found == SLEEPER_NOTHING)
		sleeper->busy_since.us = 0;
	else if (sleeper->busy_since.us == 0 || gap)
		sleeper->busy_since = now;
}

static bool
busy_for_long(const struct sleeper *sleeper, struct mono now)
{
	return sleeper->busy_since.us != 0 &&
	       mono_ms_between(sleeper->busy_since, now) >= SLEEPER_BUSY_MS;
}

static void
change(struct sleeper *sleeper, bool registered, struct mono now)
{
	sleeper->registered = registered;
	sleeper->changed = now;
}

enum sleeper_step
sleeper_turn(struct sleeper *sleeper, enum sleeper_found found, struct mono now)
{
	note_busy(sleeper, found, now);
	if (!sleeper->registered) {
		if (found == SLEEPER_ENOUGH)
			return SLEEPER_STAY;
		if (found == SLEEPER_SOME || !may_change(sleeper, now))
			return SLEEPER_BRIDGE;
		change(sleeper, true, now);
		return SLEEPER_REGISTER;
	}
	if (busy_for_long(sleeper, now) && may_change(sleeper, now)) {
		change(sleeper, false, now);
		return SLEEPER_REMOVE;
	}
	if (found != SLEEPER_ENOUGH &&
	    mono_ms_between(sleeper->changed, now) < SLEEPER_UNSEEN_MS)
		return SLEEPER_BRIDGE;
	return SLEEPER_STAY;
}

void
sleeper_forget(struct sleeper *sleeper)
{
	sleeper->registered = false;
	sleeper->changed.us = 0;
	sleeper->busy_since.us = 0;
}
