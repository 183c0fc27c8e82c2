#include "tests/integration/probes/probe.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"

static struct event_base *loop;
static struct evbuffer *input;
static void (*obey)(char *line);
static struct mono last_turn;
static int64_t last_kept_us, longest_us;

void
probe_say(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	fflush(stdout);
}

static void
on_input(evutil_socket_t fd, short what, void *argument)
{
	(void)what, (void)argument;
	char *line;
	if (evbuffer_read(input, fd, 65536) <= 0)
		event_base_loopbreak(loop);
	while ((line = evbuffer_readln(input, NULL, EVBUFFER_EOL_LF)) != NULL) {
		if (strcmp(line, "quit") == 0)
			event_base_loopbreak(loop);
		else
			obey(line);
		free(line);
	}
}

/* How long others had the processor in all while this thread could have run:
 * on a busy machine that is no fault of the loop's. */
static int64_t
kept_us(void)
{
	FILE *file = fopen("/proc/self/schedstat", "re");
	int64_t ns = 0;
	if (file == NULL || fscanf(file, "%*d %" SCNd64, &ns) != 1)
		ns = 0; /* a kernel that does not tell */
	if (file != NULL)
		fclose(file);
	return ns / 1000;
}

static void
on_turn(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what, (void)argument;
	struct mono now = mono_now();
	int64_t kept = kept_us();
	int64_t us = mono_us_between(last_turn, now) - (kept - last_kept_us);
	if (us > longest_us)
		longest_us = us;
	last_turn = now;
	last_kept_us = kept;
}

void
probe_run(struct event_base *base, void (*on_order)(char *line))
{
	struct timeval step = {.tv_usec = 10000};
	loop = base;
	obey = on_order;
	input = evbuffer_new();
	struct event *reading =
	    event_new(base, STDIN_FILENO, EV_READ | EV_PERSIST, on_input, NULL);
	struct event *turn = event_new(base, -1, EV_PERSIST, on_turn, NULL);
	if (input == NULL || reading == NULL || turn == NULL)
		abort();
	evutil_make_socket_nonblocking(STDIN_FILENO);
	event_add(reading, NULL);
	event_add(turn, &step);
	last_turn = mono_now();
	last_kept_us = kept_us();
	event_base_dispatch(base);
	event_free(reading);
	event_free(turn);
	evbuffer_free(input);
	probe_say("gap %lld", (long long)longest_us / 1000);
}
