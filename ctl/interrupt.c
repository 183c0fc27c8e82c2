#include "ctl/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <poll.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "common/clock.h"

static volatile sig_atomic_t held, seen;

static void
on_signal(int number)
{
	(void)number;
	if (!held || seen)
		_exit(CTL_INTERRUPTED);
	seen = 1;
}

void
interrupt_install(void)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_handler = on_signal;
	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

void
interrupt_hold(void)
{
	held = 1;
}

bool
interrupt_seen(void)
{
	return seen != 0;
}

void
interrupt_rearm(void)
{
	seen = 0;
}

bool
interrupt_wait_ms(int64_t ms)
{
	struct mono until = mono_add_ms(mono_now(), ms);

	while (!seen) {
		int64_t left = mono_ms_between(mono_now(), until);

		if (left <= 0)
			return true;
		(void)poll(NULL, 0, left > 1000 ? 1000 : (int)left);
	}
	return false;
}
