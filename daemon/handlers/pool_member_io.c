/*
 * A member's socket. What is to be said gathers in a buffer and goes out in
 * one write; what comes is cut into lines where it was read, and only half a
 * line is kept. Reading goes on whatever waits to be written.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/busy.h"
#include "daemon/handlers/pool_member_parts.h"

enum {
	READ_BYTES = 64 << 10, /* at a time */
	READS = 8,	       /* before the loop goes on */
	LAST_READS = 1024,     /* after the end */
	EXCERPT_BYTES = 64,    /* of a wrong line, for the log */
};

/* Reading. */

static void
break_for_line(struct pool_member *member, const char *line, size_t size,
    const char *wrong)
{
	struct text excerpt = TEXT_EMPTY;
	bool cut = size > EXCERPT_BYTES;

	text_add_escaped(&excerpt, line, cut ? EXCERPT_BYTES : size);
	member_break(member, "sent a line that %s: \"%s\"%s", wrong,
	    text_string(&excerpt), cut ? "…" : "");
	text_free(&excerpt);
}

static void
break_for_length(struct pool_member *member)
{
	member_break(member, "sent a line of more than %zu bytes (max_message)",
	    member->pool->max_message);
}

static void
take_line(struct pool_member *member, const char *line, size_t size)
{
	struct pool_message message;
	const char *wrong;

	if (size > member->pool->max_message) {
		break_for_length(member);
		return;
	}
	wrong = pool_message_read(line, size, &message);
	if (wrong != NULL)
		break_for_line(member, line, size, wrong);
	else
		member_take_message(member, &message);
}

static bool
is_broken(const struct pool_member *member)
{
	return member->parts->cause == CAUSE_BROKE;
}

/* The rest of a line that came in parts; how many bytes were used. */
static size_t
end_line(struct pool_member *member, const char *bytes, size_t size)
{
	struct text *in = &member->parts->io.in;
	const char *end = memchr(bytes, '\n', size);
	size_t used = end == NULL ? size : (size_t)(end - bytes) + 1;

	text_add(in, bytes, used);
	if (end != NULL) {
		take_line(member, in->data, in->length - 1);
		if (in->capacity > READ_BYTES)
			text_free(in);
		text_clear(in);
	}
	return used;
}

static void
take_bytes(struct pool_member *member, const char *bytes, size_t size)
{
	struct member_io *io = &member->parts->io;
	const char *end;

	if (io->in.length > 0) {
		size_t used = end_line(member, bytes, size);

		bytes += used;
		size -= used;
	}
	while (
	    !is_broken(member) && (end = memchr(bytes, '\n', size)) != NULL) {
		take_line(member, bytes, (size_t)(end - bytes));
		size -= (size_t)(end - bytes) + 1;
		bytes = end + 1;
	}
	if (is_broken(member))
		return;
	if (size > 0)
		text_add(&io->in, bytes, size);
	if (io->in.length > member->pool->max_message)
		break_for_length(member);
	else if (io->in.length > 0)
		io->heard = mono_now();
}

/* The other side has closed it: the process is about to end, or is wrong. */
static void
on_closed(struct pool_member *member)
{
	member->parts->io.ended = true;
	member_io_stop_reading(member);
	member_closed(member);
}

/* False: there is nothing more for now. */
static bool
read_some(struct pool_member *member)
{
	static char buffer[READ_BYTES];
	const struct handler_host *host = &member->pool->host;
	struct member_io *io = &member->parts->io;
	ssize_t n;

	if (io->fd < 0 || is_broken(member) || io->ended)
		return false;
	do
		n = read(io->fd, buffer, sizeof(buffer));
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0) {
		on_closed(member);
		return false;
	}
	/* What it said before it answered belongs to that task. */
	if (member->running == 1)
		process_listen(member->parts->process);
	host->catch_up(host->argument);
	take_bytes(member, buffer, (size_t)n);
	return n == sizeof(buffer);
}

static void
on_readable(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct pool_member *member = member_checked(argument);
	struct busy busy = busy_enter("reading from a pool's process");

	for (int i = 0; i < READS && read_some(member); i++)
		continue;
	pool_work_soon(member->pool);
	member_watch(member);
	busy_leave(busy);
}

void
member_io_last_words(struct pool_member *member)
{
	for (int i = 0; i < LAST_READS && read_some(member); i++)
		continue;
}

/* Writing. */

/* What we want to know of the socket follows from what waits. */
static void
arm_writable(struct pool_member *member)
{
	struct member_io *io = &member->parts->io;

	if (io->blocked.us != 0)
		event_add(io->writable, NULL);
	else
		event_del(io->writable);
}

static void
note_room(struct pool_member *member)
{
	size_t waits = evbuffer_get_length(member->parts->io.out);
	bool full = waits > (member->full ? MEMBER_FULL_OVER : MEMBER_FULL);

	if (full == member->full)
		return;
	member->full = full;
	pool_work_soon(member->pool);
}

void
member_io_added(struct pool_member *member, size_t size_before)
{
	struct member_io *io = &member->parts->io;

	io->queued += evbuffer_get_length(io->out) - size_before;
	member->dirty = true;
	note_room(member);
}

static void
write_out(struct pool_member *member)
{
	struct member_io *io = &member->parts->io;
	struct mono before = io->blocked;

	io->blocked.us = 0;
	while (evbuffer_get_length(io->out) > 0) {
		int n = evbuffer_write(io->out, io->fd);

		if (n > 0) {
			io->written += (uint64_t)n;
			before.us = 0;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			io->blocked = before.us != 0 ? before : mono_now();
			return;
		}
		/* It reads no more; its end, or that of its answers, tells. */
		evbuffer_drain(io->out, evbuffer_get_length(io->out));
		return;
	}
	if (io->finished)
		(void)shutdown(io->fd, SHUT_WR);
}

void
member_io_flush(struct pool_member *member)
{
	struct member_io *io = &member->parts->io;
	bool was_blocked = io->blocked.us != 0;

	member->dirty = false;
	if (io->fd < 0)
		return;
	write_out(member);
	note_room(member);
	if (was_blocked != (io->blocked.us != 0))
		arm_writable(member);
	if (io->blocked.us != 0)
		member_watch(member);
}

static void
on_writable(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct busy busy = busy_enter("writing to a pool's process");

	member_io_flush(member_checked(argument));
	busy_leave(busy);
}

void
member_io_finish(struct pool_member *member)
{
	member->parts->io.finished = true;
	member_io_flush(member);
}

/* The socket itself. */

void
member_io_open(struct pool_member *member, int fd)
{
	struct event_base *base = member->pool->host.base;
	struct member_io *io = &member->parts->io;

	io->fd = fd;
	io->out = evbuffer_new();
	io->readable =
	    event_new(base, fd, EV_READ | EV_PERSIST, on_readable, member);
	io->writable =
	    event_new(base, fd, EV_WRITE | EV_PERSIST, on_writable, member);
	if (io->out == NULL || io->readable == NULL || io->writable == NULL ||
	    event_add(io->readable, NULL) < 0)
		abort();
}

void
member_io_stop_reading(struct pool_member *member)
{
	event_del(member->parts->io.readable);
}

void
member_io_close(struct pool_member *member)
{
	struct member_io *io = &member->parts->io;

	event_free(io->readable);
	event_free(io->writable);
	evbuffer_free(io->out);
	text_free(&io->in);
	close(io->fd);
	io->fd = -1;
}
