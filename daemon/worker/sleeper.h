/*
 * When a worker asks to be woken. While it is registered as a sleeper every
 * enqueue costs its client a notification, so a worker whose turns follow each
 * other without a gap takes itself off the list after a second, and comes back
 * when it finds nothing. At most one change a second; what falls in between is
 * bridged by polling. Pure: it says what to do, the caller does it.
 */
#ifndef DAEMON_WORKER_SLEEPER_H
#define DAEMON_WORKER_SLEEPER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

enum {
	SLEEPER_BUSY_MS = 1000,	  /* without a gap before it signs off */
	SLEEPER_CHANGE_MS = 1000, /* between two changes */
	SLEEPER_GAP_MS = 10,	  /* a longer pause between turns is a gap */
	SLEEPER_BRIDGE_MS = 20,	  /* to the next turn of one that is off */
	SLEEPER_UNSEEN_MS = 150,  /* who enqueues may not see a registration
				     that is younger, as it was looking for
				     sleepers before its commit */
	SLEEPER_FULL_MS = 1050,	  /* to the next look of one that is full */
};

struct sleeper {
	bool registered;
	struct mono changed;	/* the last change; us 0: none yet */
	struct mono busy_since; /* us 0: not busy */
	struct mono last_turn;
};

/* What a turn found. */
enum sleeper_found {
	SLEEPER_NOTHING, /* slots are free and there was no task */
	SLEEPER_SOME,	 /* tasks, and there would have been room for more */
	SLEEPER_ENOUGH,	 /* all there was room for, or there was no room */
};

enum sleeper_step {
	SLEEPER_STAY,
	SLEEPER_REGISTER, /* sleep_on, then one more turn */
	SLEEPER_REMOVE,	  /* wake_up */
	SLEEPER_BRIDGE,	  /* nobody may wake us: a turn after a short while */
};

/* A turn ended; what it says to do counts as done. */
enum sleeper_step sleeper_turn(
    struct sleeper *sleeper, enum sleeper_found found, struct mono now);
/* The database forgot, or may have forgotten, the registration. */
void sleeper_forget(struct sleeper *sleeper);

#endif
