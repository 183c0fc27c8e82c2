#include "supervisor/words.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct {
	int code;
	const char *words;
} exit_codes[] = {
    {0, "done"},
    {1, "failed"},
    {2, "wrong arguments"},
    {75, "a server is away"},
    {78, "configuration or schema"},
    {126, "cannot be executed"},
    {127, "cannot be executed"},
};

static const char *
exit_words(int code)
{
	for (size_t i = 0; i < sizeof exit_codes / sizeof *exit_codes; i++)
		if (exit_codes[i].code == code)
			return exit_codes[i].words;
	return "unexpected";
}

void
words_of_end(const siginfo_t *info, char ret_words[WORDS_SIZE])
{
	if (info->si_code == CLD_EXITED) {
		snprintf(ret_words, WORDS_SIZE, "exited with %d (%s)",
		    info->si_status, exit_words(info->si_status));
		return;
	}
	const char *name = sigabbrev_np(info->si_status);
	snprintf(ret_words, WORDS_SIZE, "killed by signal %d (SIG%s)%s",
	    info->si_status, name ? name : "?",
	    info->si_code == CLD_DUMPED ? ", core dumped" : "");
}

void
words_of_time(int64_t ms, char ret_words[WORDS_SIZE])
{
	static const struct {
		int64_t ms;
		const char *name;
	} units[] = {
	    {86400000, "d"}, {3600000, "h"}, {60000, "min"}, {1000, "s"}};
	if (ms < 10000) {
		snprintf(ret_words, WORDS_SIZE, "%.2f s", (double)ms / 1000);
		return;
	}
	size_t i = 0;
	while (i < 3 && ms < units[i].ms)
		i++;
	int used = snprintf(ret_words, WORDS_SIZE, "%lld %s",
	    (long long)(ms / units[i].ms), units[i].name);
	if (i < 3 && ms % units[i].ms / units[i + 1].ms > 0)
		snprintf(ret_words + used, WORDS_SIZE - (size_t)used,
		    " %lld %s", (long long)(ms % units[i].ms / units[i + 1].ms),
		    units[i + 1].name);
}
