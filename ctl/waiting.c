#include "ctl/waiting.h"

#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

static bool shown;

void
waiting_show(struct mono since)
{
	int64_t ms = mono_ms_between(since, mono_now());

	if (ms < 1000 || !isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\rthe database is at work, %lld s",
	    (long long)(ms / 1000));
	shown = true;
}

void
waiting_end(void)
{
	if (shown)
		fputs("\r\033[K", stderr);
	shown = false;
}
