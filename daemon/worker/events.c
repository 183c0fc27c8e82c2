#include "daemon/worker/events.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/busy.h"
#include "common/log.h"
#include "daemon/worker/events_fifo.h"
#include "daemon/worker/stream.h"
#include "daemon/worker/worker.h"

static void
refuse(struct worker *worker, const char *why)
{
	struct events *events = &worker->events;
	struct mono now = mono_now();

	events->refused++;
	scoreboard_count(worker->board, SCOREBOARD_EVENTS_REFUSED, 1);
	if (events->complained_once &&
	    mono_ms_between(events->complained, now) < EVENTS_COMPLAIN_MS)
		return;
	events->complained_once = true;
	events->complained = now;
	log_notice("a line in %s is %s, ignoring; %" PRIu64 " so far",
	    events->path, why, events->refused);
}

static void
hand_on(struct worker *worker, const struct events_line *line)
{
	struct running *running =
	    running_table_find(&worker->table, line->task);

	if (running == NULL || running->task.lease != line->lease ||
	    running->state != RUNNING_STARTED)
		refuse(worker, "of no task that runs here");
	else if (line->kind == EVENTS_PROGRESS)
		stream_progress(&running->task, line->fraction,
		    text_string(&line->note), line->note.length, worker);
	else
		stream_chunk(
		    &running->task, line->data.at, line->data.length, worker);
}

static void
take_line(struct worker *worker, const char *bytes, size_t length)
{
	struct events_line line;
	bool whole;

	if (!events_line_read(bytes, length, &line, &whole)) {
		refuse(worker, length < EVENTS_LINE_MAX
				   ? "neither progress nor chunk"
				   : "too long");
		return;
	}
	if (!whole)
		refuse(worker, "not whole");
	hand_on(worker, &line);
	events_line_free(&line);
}

/* What follows the last newline moves to the front. */
static void
take_lines(struct worker *worker)
{
	struct events *events = &worker->events;
	char *begin = events->buffer, *end = begin + events->length, *newline;

	while ((newline = memchr(begin, '\n', (size_t)(end - begin))) != NULL) {
		if (!events->skipping && newline > begin)
			take_line(worker, begin, (size_t)(newline - begin));
		events->skipping = false;
		begin = newline + 1;
	}
	events->length = (size_t)(end - begin);
	memmove(events->buffer, begin, events->length);
	if (events->length < sizeof(events->buffer))
		return;
	if (!events->skipping)
		refuse(worker, "too long");
	events->skipping = true;
	events->length = 0;
}

static void
read_lines(struct worker *worker, size_t most)
{
	struct events *events = &worker->events;
	size_t done = 0;

	while (done < most) {
		ssize_t got = read(events->fd, events->buffer + events->length,
		    sizeof(events->buffer) - events->length);

		if (got <= 0)
			break;
		events->length += (size_t)got;
		done += (size_t)got;
		take_lines(worker);
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *argument)
{
	struct busy busy = busy_enter("words of tasks");

	(void)fd, (void)what;
	read_lines(argument, EVENTS_READ_MAX);
	busy_leave(busy);
}

void
events_catch_up(struct worker *worker)
{
	if (worker->events.fd >= 0)
		read_lines(worker, EVENTS_PIPE_MAX);
}

void
events_open(struct worker *worker, const char *runtime_dir)
{
	struct events *events = &worker->events;

	unsetenv("MUSTER_EVENTS");
	events_fifo_purge(runtime_dir);
	events->fd = events_fifo_open(runtime_dir, &events->path);
	if (events->fd < 0) {
		log_warning("programs cannot tell their progress: no FIFO in "
			    "%s: %s",
		    runtime_dir, strerror(-events->fd));
		return;
	}
	events->readable = event_new(worker->base, events->fd,
	    EV_READ | EV_PERSIST, on_readable, worker);
	if (events->readable == NULL ||
	    setenv("MUSTER_EVENTS", events->path, 1) < 0)
		abort();
	event_add(events->readable, NULL);
}

void
events_close(struct worker *worker)
{
	struct events *events = &worker->events;

	if (events->fd < 0)
		return;
	event_free(events->readable);
	(void)unlink(events->path); /* else the next worker does */
	close(events->fd);
	free(events->path);
	events->fd = -1;
}
