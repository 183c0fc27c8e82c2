#include "tests/integration/probes/probe.h"

#include <event2/buffer.h>
#include <event2/event.h>
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
static int64_t longest_ms;

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

static void
on_turn(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what, (void)argument;
	struct mono now = mono_now();
	int64_t ms = mono_ms_between(last_turn, now);
	if (ms > longest_ms)
		longest_ms = ms;
	last_turn = now;
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
	event_base_dispatch(base);
	event_free(reading);
	event_free(turn);
	evbuffer_free(input);
	probe_say("gap %lld", (long long)longest_ms);
}
