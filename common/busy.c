#include "common/busy.h"

#include <stddef.h>

#include "common/log.h"
#include "common/scoreboard.h"

static struct scoreboard *busy_board;
static const char *busy_name;
static int64_t busy_slow_us;
static struct mono busy_logged;

void
busy_open(struct scoreboard *board, int64_t slow_ms)
{
	busy_board = board;
	busy_slow_us = slow_ms * 1000;
	busy_name = NULL;
	busy_logged = mono_add_ms(mono_lately(), -1000);
}

static void
set(const char *name)
{
	busy_name = name;
	scoreboard_enter(busy_board, name);
}

struct busy
busy_enter(const char *name)
{
	struct busy busy = {.before = busy_name};
	if (busy_board != NULL) {
		busy.since = mono_lately();
		set(name);
	}
	return busy;
}

static void
report(int64_t us)
{
	struct mono now = mono_lately();
	if (mono_ms_between(busy_logged, now) < 1000)
		return;
	busy_logged = now;
	log_warning("'%s' held the event loop for %lld ms", busy_name,
	    (long long)(us / 1000));
}

void
busy_leave(struct busy busy)
{
	if (busy_board == NULL || busy_name == NULL)
		return;
	int64_t us = mono_us_between(busy.since, mono_lately());
	/* The innermost callback is the guilty one: only it is named. */
	if (us > busy_slow_us && mono_us_between(busy_logged, busy.since) > 0)
		report(us);
	set(busy.before);
}
