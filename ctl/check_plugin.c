#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/plugin_load.h"
#include "ctl/check_parts.h"

enum { LOAD_LIMIT_MS = 10000, WHY_BYTES = 1024 };

/* The words for what is wrong go to the pipe; none: it has loaded. */
_Noreturn static void
load(const char *path, int pipe)
{
	struct text error = TEXT_EMPTY;
	const char *words;
	bool loaded = plugin_load(path, &error) != NULL;

	words = text_string(&error);
	if (!loaded && write(pipe, words, strlen(words)) < 0)
		_exit(2);
	_exit(loaded ? 0 : 1);
}

/* Until the pipe's end, or the limit: false. */
static bool
read_words(int pipe, char words[WHY_BYTES])
{
	struct mono began = mono_now();
	size_t length = 0;

	for (;;) {
		struct pollfd ready = {.fd = pipe, .events = POLLIN};
		int64_t left =
		    LOAD_LIMIT_MS - mono_ms_between(began, mono_now());
		ssize_t got;

		if (left <= 0)
			return false;
		if (poll(&ready, 1, (int)left) <= 0)
			continue;
		got = read(pipe, words + length, WHY_BYTES - 1 - length);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return true;
		length += (size_t)got;
	}
}

static void
describe_end(pid_t pid, bool in_time, char words[WHY_BYTES])
{
	int status = 0;

	if (!in_time)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!in_time)
		snprintf(words, WHY_BYTES, "does not load within %d s",
		    LOAD_LIMIT_MS / 1000);
	else if (WIFSIGNALED(status))
		snprintf(words, WHY_BYTES, "loading it ends with SIG%s",
		    sigabbrev_np(WTERMSIG(status)));
	else if (words[0] == '\0' && WEXITSTATUS(status) != 0)
		snprintf(words, WHY_BYTES, "loading it ends with code %d",
		    WEXITSTATUS(status));
}

/* What its constructors do is done in the other process. */
static void
try_to_load(const char *path, char words[WHY_BYTES])
{
	int ends[2];
	bool in_time;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		abort();
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		abort();
	if (pid == 0)
		load(path, ends[1]);
	(void)close(ends[1]);
	in_time = read_words(ends[0], words);
	(void)close(ends[0]);
	describe_end(pid, in_time, words);
}

int
check_plugin(struct check_report *report, const struct handler_config *handler)
{
	char words[WHY_BYTES] = "";

	try_to_load(handler->plugin, words);
	if (words[0] != '\0')
		return check_add(report, CTL_FAILED, "handler", "%s: %s: %s",
		    handler->kind, handler->plugin, words);
	return check_add(report, 0, "handler", "%s loads %s", handler->kind,
	    handler->plugin);
}
