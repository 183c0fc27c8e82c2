#include "common/procmsg.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 *   OPEN ──peer gone, nonsense──→ ENDED ──free──→ (freed)
 *     └───────────────free──────────────────────────┘
 *
 * Inside a callback `free` closes at once; the memory goes when the callback
 * has returned (`depth`).
 */
enum channel_state { CHANNEL_OPEN, CHANNEL_ENDED, CHANNEL_FREED };

enum {
	CHANNEL_MAGIC = 0x6d736768,
	WIRE_MAGIC = 0x6d736d31, /* "msm1": the version is part of it */
	QUEUE_LIMIT = 4 << 20,
	READ_SIZE = 16 << 10,
	READS_A_TURN = 8,
	FDS_WAITING = 32,
	FDS_A_MESSAGE = 1,
};

struct wire_header {
	uint32_t magic;
	uint16_t type;
	uint16_t with_fd;
	uint32_t size, reserved;
	uint64_t generation;
};

/* A message that waits to be written. */
struct outgoing {
	struct outgoing *next;
	size_t size, written;
	int fd; /* owned until its first byte is written */
	char bytes[];
};

struct procmsg_channel {
	uint32_t magic;
	enum channel_state state;
	int depth;
	int fd;
	struct event *readable, *writable;
	procmsg_cb *on_message;
	procmsg_end_cb *on_end;
	void *argument;
	/* in */
	char *buffer; /* owned */
	size_t length, capacity;
	int fds[FDS_WAITING]; /* arrived, in order, not yet handed over */
	int fd_count;
	/* out */
	struct outgoing *first, **last;
	size_t queued;
	bool deaf; /* the peer reads no more */
};

int
procmsg_pair(int ret_fds[2])
{
	int fds[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		fds) < 0)
		return -errno;
	ret_fds[0] = fds[0];
	ret_fds[1] = fds[1];
	return 0;
}

static void
outgoing_drop(struct procmsg_channel *channel)
{
	struct outgoing *message = channel->first;
	channel->queued -= message->size;
	channel->first = message->next;
	if (!channel->first)
		channel->last = &channel->first;
	if (message->fd >= 0)
		close(message->fd);
	free(message);
}

static void
channel_close(struct procmsg_channel *channel)
{
	while (channel->first)
		outgoing_drop(channel);
	while (channel->fd_count > 0)
		close(channel->fds[--channel->fd_count]);
	event_free(channel->readable);
	event_free(channel->writable);
	close(channel->fd);
	free(channel->buffer);
	channel->buffer = NULL;
	channel->length = channel->capacity = 0;
	channel->fd = -1;
}

static void
channel_leave(struct procmsg_channel *channel)
{
	if (--channel->depth == 0 && channel->state == CHANNEL_FREED) {
		channel->magic = 0;
		free(channel);
	}
}

struct procmsg_channel *
procmsg_channel_free(struct procmsg_channel *channel)
{
	if (!channel)
		return NULL;
	assert(channel->magic == CHANNEL_MAGIC);
	assert(channel->state != CHANNEL_FREED);
	if (channel->state == CHANNEL_OPEN)
		channel_close(channel);
	channel->state = CHANNEL_FREED;
	channel->depth++;
	channel_leave(channel);
	return NULL;
}

static void
channel_end(struct procmsg_channel *channel, const char *reason)
{
	channel_close(channel);
	channel->state = CHANNEL_ENDED;
	channel->on_end(reason, channel->argument);
}

/* Reading. */

static bool
type_is_known(unsigned type)
{
	return (type >= PROCMSG_CONFIG && type <= PROCMSG_BOARD) ||
	       (type >= PROCMSG_READY && type <= PROCMSG_DRAINED);
}

/* What is wrong with a header; NULL: nothing. */
static const char *
header_fault(const struct wire_header *header)
{
	if (header->magic != WIRE_MAGIC)
		return "spoke another protocol version";
	if (!type_is_known(header->type))
		return "sent a message of an unknown type";
	if (header->size > PROCMSG_BODY_LIMIT)
		return "sent a message that is too long";
	if (header->with_fd > FDS_A_MESSAGE || header->reserved != 0)
		return "sent a malformed message";
	return NULL;
}

static int
fd_next(struct procmsg_channel *channel)
{
	int fd = channel->fds[0];
	channel->fd_count--;
	memmove(channel->fds, channel->fds + 1,
	    (size_t)channel->fd_count * sizeof fd);
	return fd;
}

static void
message_deliver(struct procmsg_channel *channel,
    const struct wire_header *header, const char *body)
{
	struct procmsg message = {
	    .type = (enum procmsg_type)header->type,
	    .generation = header->generation,
	    .body = body,
	    .size = header->size,
	    .fd = header->with_fd ? fd_next(channel) : -1,
	};
	channel->on_message(&message, channel->argument);
}

/*
 * Delivers every whole message of the buffer. The buffer is taken out of the
 * channel meanwhile: the callback may free the channel.
 */
static void
buffer_deliver(struct procmsg_channel *channel)
{
	char *buffer = channel->buffer;
	size_t length = channel->length, capacity = channel->capacity, at = 0;
	const char *fault = NULL;
	channel->buffer = NULL;
	channel->length = channel->capacity = 0;
	while (channel->state == CHANNEL_OPEN) {
		struct wire_header header;
		if (length - at < sizeof header)
			break;
		memcpy(&header, buffer + at, sizeof header);
		fault = header_fault(&header);
		if (!fault && header.with_fd && channel->fd_count == 0)
			fault = "sent a message without its descriptor";
		if (fault || length - at - sizeof header < header.size)
			break;
		const char *body = buffer + at + sizeof header;
		at += sizeof header + header.size;
		message_deliver(channel, &header, body);
	}
	if (channel->state == CHANNEL_OPEN && !fault && at < length) {
		memmove(buffer, buffer + at, length - at);
		channel->buffer = buffer;
		channel->length = length - at;
		channel->capacity = capacity;
		return;
	}
	free(buffer);
	if (channel->state == CHANNEL_OPEN && fault)
		channel_end(channel, fault);
}

/* Room for one more read; the largest message bounds the buffer. */
static void
buffer_reserve(struct procmsg_channel *channel)
{
	size_t wanted = channel->length + READ_SIZE;
	if (channel->capacity >= wanted)
		return;
	char *buffer = realloc(channel->buffer, wanted);
	if (!buffer)
		abort();
	channel->buffer = buffer;
	channel->capacity = wanted;
}

/* Keeps the descriptors that came along; false when there are too many. */
static bool
fds_keep(struct procmsg_channel *channel, struct msghdr *message)
{
	bool fits = !(message->msg_flags & MSG_CTRUNC);
	struct cmsghdr *part = CMSG_FIRSTHDR(message);
	for (; part; part = CMSG_NXTHDR(message, part)) {
		if (part->cmsg_level != SOL_SOCKET ||
		    part->cmsg_type != SCM_RIGHTS)
			continue;
		int count = (int)((part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		for (int i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(part) + i * (int)sizeof fd,
			    sizeof fd);
			if (channel->fd_count < FDS_WAITING) {
				channel->fds[channel->fd_count++] = fd;
				continue;
			}
			close(fd);
			fits = false;
		}
	}
	return fits;
}

/* One read. Returns its length, 0 at the end, -EAGAIN or another -errno. */
static ssize_t
channel_receive(struct procmsg_channel *channel)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS_WAITING * sizeof(int))];
	} control;
	buffer_reserve(channel);
	struct iovec part = {channel->buffer + channel->length, READ_SIZE};
	struct msghdr message = {.msg_iov = &part,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = sizeof control};
	ssize_t length =
	    recvmsg(channel->fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (length < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	if (!fds_keep(channel, &message))
		return -EMFILE;
	channel->length += (size_t)length;
	return length;
}

static void
channel_read(struct procmsg_channel *channel, int reads)
{
	while (reads-- > 0 && channel->state == CHANNEL_OPEN) {
		ssize_t length = channel_receive(channel);
		if (length == -EAGAIN)
			return;
		if (length == -EMFILE)
			channel_end(channel, "sent more descriptors than fit");
		else if (length < 0)
			channel_end(channel, strerror((int)-length));
		else if (length == 0)
			channel_end(
			    channel, channel->length == 0
					 ? "closed the channel"
					 : "closed the channel in mid-message");
		else
			buffer_deliver(channel);
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *argument)
{
	struct procmsg_channel *channel = argument;
	(void)fd;
	(void)what;
	assert(channel->magic == CHANNEL_MAGIC);
	channel->depth++;
	channel_read(channel, READS_A_TURN);
	channel_leave(channel);
}

void
procmsg_channel_finish(struct procmsg_channel *channel)
{
	assert(channel->magic == CHANNEL_MAGIC);
	channel->depth++;
	channel_read(channel, QUEUE_LIMIT / READ_SIZE + READS_A_TURN);
	channel_leave(channel);
}

/* Writing. */

static ssize_t
outgoing_write(int socket, struct outgoing *message)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = {message->bytes + message->written,
	    message->size - message->written};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
	if (message->fd >= 0) {
		memset(&control, 0, sizeof control);
		header.msg_control = &control;
		header.msg_controllen = sizeof control;
		struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(rights), &message->fd, sizeof(int));
	}
	return sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* The reading side reports the end, after what the peer still had to say. */
static void
channel_deafen(struct procmsg_channel *channel)
{
	channel->deaf = true;
	while (channel->first)
		outgoing_drop(channel);
	if (errno != EPIPE && errno != ECONNRESET)
		shutdown(channel->fd, SHUT_RDWR);
}

static void
channel_flush(struct procmsg_channel *channel)
{
	while (channel->first) {
		struct outgoing *message = channel->first;
		ssize_t length = outgoing_write(channel->fd, message);
		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0 && errno == EAGAIN) {
			event_add(channel->writable, NULL);
			return;
		}
		if (length < 0) {
			channel_deafen(channel);
			return;
		}
		if (message->fd >= 0)
			close(message->fd);
		message->fd = -1;
		message->written += (size_t)length;
		if (message->written == message->size)
			outgoing_drop(channel);
	}
}

static void
on_writable(evutil_socket_t fd, short what, void *argument)
{
	struct procmsg_channel *channel = argument;
	(void)fd;
	(void)what;
	assert(channel->magic == CHANNEL_MAGIC);
	channel_flush(channel);
}

static struct outgoing *
outgoing_new(enum procmsg_type type, uint64_t generation, const void *body,
    size_t size, int fd)
{
	struct wire_header header = {.magic = WIRE_MAGIC,
	    .type = (uint16_t)type,
	    .with_fd = fd >= 0,
	    .size = (uint32_t)size,
	    .generation = generation};
	struct outgoing *message =
	    calloc(1, sizeof *message + sizeof header + size);
	if (!message)
		abort();
	message->size = sizeof header + size;
	message->fd = fd;
	memcpy(message->bytes, &header, sizeof header);
	if (size > 0)
		memcpy(message->bytes + sizeof header, body, size);
	return message;
}

int
procmsg_send(struct procmsg_channel *channel, enum procmsg_type type,
    uint64_t generation, const void *body, size_t size, int fd)
{
	assert(channel->magic == CHANNEL_MAGIC);
	assert(size <= PROCMSG_BODY_LIMIT);
	if (channel->state != CHANNEL_OPEN || channel->deaf)
		return -EPIPE;
	if (channel->queued + size > QUEUE_LIMIT)
		return -ENOBUFS;
	if (fd >= 0 && (fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0)
		return -errno;
	struct outgoing *message =
	    outgoing_new(type, generation, body, size, fd);
	*channel->last = message;
	channel->last = &message->next;
	channel->queued += message->size;
	if (channel->first == message)
		channel_flush(channel);
	return 0;
}

size_t
procmsg_pending(const struct procmsg_channel *channel)
{
	return channel->queued;
}

struct procmsg_channel *
procmsg_channel_new(struct event_base *base, int fd, procmsg_cb *on_message,
    procmsg_end_cb *on_end, void *argument)
{
	struct procmsg_channel *channel = calloc(1, sizeof *channel);
	if (!channel)
		abort();
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC); /* both fail only on a bad fd, */
	(void)evutil_make_socket_nonblocking(fd); /* which the read reports */
	channel->magic = CHANNEL_MAGIC;
	channel->fd = fd;
	channel->on_message = on_message;
	channel->on_end = on_end;
	channel->argument = argument;
	channel->last = &channel->first;
	channel->readable =
	    event_new(base, fd, EV_READ | EV_PERSIST, on_readable, channel);
	channel->writable = event_new(base, fd, EV_WRITE, on_writable, channel);
	if (!channel->readable || !channel->writable)
		abort();
	event_add(channel->readable, NULL);
	return channel;
}
