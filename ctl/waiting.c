#include "ctl/waiting.h"

#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "ctl/terminal.h"

static bool shown, bar_shown;

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

void
waiting_show_bar(struct mono since, int64_t done, int64_t total)
{
	struct text bar = TEXT_EMPTY;

	if (mono_ms_between(since, mono_now()) < 1000 || !isatty(STDERR_FILENO))
		return;
	terminal_add_bar(&bar, (size_t)done, (size_t)total);
	fprintf(stderr, "\r\033[K%s %lld of %lld", text_string(&bar),
	    (long long)done, (long long)total);
	text_free(&bar);
	bar_shown = true;
}

void
waiting_end_bar(void)
{
	if (bar_shown)
		fputs("\r\033[K", stderr);
	bar_shown = false;
}
