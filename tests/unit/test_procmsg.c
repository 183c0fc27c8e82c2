#include "common/procmsg.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/unit.h"

/* As it goes over the wire. */
struct header {
	uint32_t magic;
	uint16_t type, with_fd;
	uint32_t size, reserved;
	uint64_t generation;
};

struct peer {
	struct procmsg_channel *channel;
	int messages, ends, fd;
	size_t bytes;
	struct procmsg last;
	char body[64], reason[128];
	bool free_at_message, free_at_end;
};

static struct event_base *base;
static struct peer left, right;

static void
on_message(const struct procmsg *message, void *argument)
{
	struct peer *peer = argument;
	peer->messages++;
	peer->bytes += message->size;
	peer->last = *message;
	if (message->size <= sizeof peer->body)
		memcpy(peer->body, message->body, message->size);
	if (message->fd >= 0) {
		if (peer->fd >= 0)
			close(peer->fd);
		peer->fd = message->fd;
	}
	if (peer->free_at_message)
		peer->channel = procmsg_channel_free(peer->channel);
}

static void
on_end(const char *reason, void *argument)
{
	struct peer *peer = argument;
	peer->ends++;
	snprintf(peer->reason, sizeof peer->reason, "%s", reason);
	if (peer->free_at_end)
		peer->channel = procmsg_channel_free(peer->channel);
}

static void
peer_open(struct peer *peer, int fd)
{
	*peer = (struct peer){.fd = -1};
	peer->channel = procmsg_channel_new(base, fd, on_message, on_end, peer);
}

static void
peer_close(struct peer *peer)
{
	peer->channel = procmsg_channel_free(peer->channel);
	if (peer->fd >= 0)
		close(peer->fd);
}

static void
channels_open(void)
{
	int fds[2];
	base = event_base_new();
	ck_assert_int_eq(procmsg_pair(fds), 0);
	peer_open(&left, fds[0]);
	peer_open(&right, fds[1]);
}

static void
channels_close(void)
{
	peer_close(&left);
	peer_close(&right);
	event_base_free(base);
}

static void
turn(int times)
{
	while (times-- > 0)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static int
descriptors(void)
{
	int count = 0;
	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

START_TEST(c4_message_arrives_whole)
{
	ck_assert_int_eq(
	    procmsg_send(left.channel, PROCMSG_STATUS, 7, "hello", 5, -1), 0);
	turn(3);
	ck_assert_int_eq(right.messages, 1);
	ck_assert_int_eq(right.last.type, PROCMSG_STATUS);
	ck_assert_uint_eq(right.last.generation, 7);
	ck_assert_uint_eq(right.last.size, 5);
	ck_assert_mem_eq(right.body, "hello", 5);
	ck_assert_int_eq(right.last.fd, -1);
	ck_assert_int_eq(left.messages + left.ends + right.ends, 0);
}
END_TEST

START_TEST(c4_messages_keep_their_order)
{
	for (int32_t i = 0; i < 500; i++)
		ck_assert_int_eq(procmsg_send(left.channel, PROCMSG_LOG_LEVEL,
				     (uint64_t)i, &i, sizeof i, -1),
		    0);
	for (int32_t i = 0; i < 500 && right.messages < 500; i++)
		turn(1);
	int32_t last;
	memcpy(&last, right.body, sizeof last);
	ck_assert_int_eq(right.messages, 500);
	ck_assert_int_eq(last, 499);
	ck_assert_uint_eq(right.last.generation, 499);
}
END_TEST

START_TEST(c4_descriptors_go_with_their_message)
{
	int pipes[2];
	char byte = 0;
	ck_assert_int_eq(pipe(pipes), 0);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(procmsg_send(left.channel, PROCMSG_LOG_STATE,
				     0, NULL, 0, -1),
		    0);
	ck_assert_int_eq(
	    procmsg_send(left.channel, PROCMSG_CONFIG, 1, "x", 1, pipes[1]), 0);
	turn(10);
	ck_assert_int_eq(right.messages, 21);
	ck_assert_int_ge(right.fd, 0);
	ck_assert_int_ne(right.fd, pipes[1]);
	ck_assert_int_eq(fcntl(right.fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(write(right.fd, "y", 1), 1);
	ck_assert_int_eq(read(pipes[0], &byte, 1), 1);
	ck_assert_int_eq(byte, 'y');
	close(pipes[0]);
	close(pipes[1]);
}
END_TEST

START_TEST(c4_many_descriptors_leak_none)
{
	int before = descriptors();
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 10; i++)
			ck_assert_int_eq(
			    procmsg_send(left.channel, PROCMSG_WORKER_FD, 0,
				"slot", 4, STDERR_FILENO),
			    0);
		turn(12);
	}
	ck_assert_int_eq(right.messages, 500);
	close(right.fd);
	right.fd = -1;
	ck_assert_int_eq(descriptors(), before);
}
END_TEST

START_TEST(c4_large_bodies_and_a_slow_reader)
{
	char *body = calloc(1, PROCMSG_BODY_LIMIT);
	int sent = 0;
	while (procmsg_send(left.channel, PROCMSG_STATUS, 0, body,
		   PROCMSG_BODY_LIMIT, -1) == 0)
		sent++;
	ck_assert_int_ge(sent, 3);
	ck_assert_int_eq(procmsg_send(left.channel, PROCMSG_STATUS, 0, body,
			     PROCMSG_BODY_LIMIT, -1),
	    -ENOBUFS);
	ck_assert_uint_gt(procmsg_pending(left.channel), 0);
	for (int i = 0; i < 5000 && right.messages < sent; i++)
		turn(1);
	ck_assert_int_eq(right.messages, sent);
	ck_assert_uint_eq(right.bytes, (size_t)sent * PROCMSG_BODY_LIMIT);
	ck_assert_uint_eq(procmsg_pending(left.channel), 0);
	free(body);
}
END_TEST

START_TEST(c4_end_of_the_peer_is_told_once_after_its_last_words)
{
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(
		    procmsg_send(left.channel, PROCMSG_STATUS, 0, "bye", 3, -1),
		    0);
	peer_close(&left);
	turn(5);
	ck_assert_int_eq(right.messages, 3);
	ck_assert_int_eq(right.ends, 1);
	ck_assert_str_eq(right.reason, "closed the channel");
	ck_assert_int_eq(
	    procmsg_send(right.channel, PROCMSG_STATUS, 0, NULL, 0, -1),
	    -EPIPE);
}
END_TEST

START_TEST(c4_writing_to_a_gone_peer_is_no_crash)
{
	peer_close(&left);
	ck_assert_int_eq(
	    procmsg_send(right.channel, PROCMSG_STATUS, 0, "x", 1, -1), 0);
	ck_assert_int_eq(
	    procmsg_send(right.channel, PROCMSG_STATUS, 0, "x", 1, -1), -EPIPE);
	turn(3);
	ck_assert_int_eq(right.ends, 1);
}
END_TEST

START_TEST(c4_last_words_can_be_read_at_once)
{
	for (int i = 0; i < 200; i++)
		ck_assert_int_eq(
		    procmsg_send(left.channel, PROCMSG_STATUS, 0, "bye", 3, -1),
		    0);
	peer_close(&left);
	procmsg_channel_finish(right.channel);
	ck_assert_int_eq(right.messages, 200);
	ck_assert_int_eq(right.ends, 1);
}
END_TEST

START_TEST(c4_channel_may_be_freed_in_its_callbacks)
{
	right.free_at_message = true;
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(procmsg_send(left.channel, PROCMSG_STATUS, 0,
				     "x", 1, STDERR_FILENO),
		    0);
	left.free_at_end = true;
	turn(5);
	ck_assert_int_eq(right.messages, 1);
	ck_assert_ptr_null(right.channel);
	ck_assert_int_eq(left.ends, 1);
	ck_assert_ptr_null(left.channel);
}
END_TEST

/* What a peer that is no channel writes; `left` is closed for it. */
static int
raw_peer(void)
{
	int fds[2];
	peer_close(&right);
	ck_assert_int_eq(procmsg_pair(fds), 0);
	peer_open(&right, fds[1]);
	return fds[0];
}

static void
raw_header(int fd, struct header header)
{
	ck_assert_int_eq(write(fd, &header, sizeof header), sizeof header);
}

static const struct header good = {.magic = 0x6d736d31, .type = PROCMSG_STATUS};

START_TEST(c4_half_messages_wait_for_their_rest)
{
	int fd = raw_peer();
	struct header header = good;
	header.size = 3;
	const char *bytes = (const char *)&header;
	for (size_t i = 0; i < sizeof header; i++) {
		ck_assert_int_eq(write(fd, bytes + i, 1), 1);
		turn(2);
	}
	ck_assert_int_eq(write(fd, "ab", 2), 2);
	turn(2);
	ck_assert_int_eq(right.messages, 0);
	ck_assert_int_eq(write(fd, "c", 1), 1);
	turn(2);
	ck_assert_int_eq(right.messages, 1);
	ck_assert_mem_eq(right.body, "abc", 3);
	close(fd);
}
END_TEST

START_TEST(c4_half_message_at_the_end_is_an_error)
{
	int fd = raw_peer();
	struct header header = good;
	header.size = 3;
	raw_header(fd, header);
	ck_assert_int_eq(write(fd, "ab", 2), 2);
	close(fd);
	turn(3);
	ck_assert_int_eq(right.messages, 0);
	ck_assert_int_eq(right.ends, 1);
	ck_assert_str_eq(right.reason, "closed the channel in mid-message");
}
END_TEST

static const struct hostile {
	struct header header;
	const char *reason;
} hostile[] = {
    {{.magic = 0x6d736d32, .type = PROCMSG_STATUS},
	"spoke another protocol version"},
    {{.magic = 0x6d736d31, .type = 0}, "sent a message of an unknown type"},
    {{.magic = 0x6d736d31, .type = 50}, "sent a message of an unknown type"},
    {{.magic = 0x6d736d31, .type = 65535}, "sent a message of an unknown type"},
    {{.magic = 0x6d736d31, .type = PROCMSG_STATUS, .size = UINT32_MAX},
	"sent a message that is too long"},
    {{.magic = 0x6d736d31, .type = PROCMSG_STATUS, .with_fd = 2},
	"sent a malformed message"},
    {{.magic = 0x6d736d31, .type = PROCMSG_STATUS, .with_fd = 1},
	"sent a message without its descriptor"},
    {{.magic = 0x6d736d31, .type = PROCMSG_STATUS, .reserved = 1},
	"sent a malformed message"},
};

START_TEST(c4_nonsense_is_the_end_of_the_peer)
{
	int fd = raw_peer();
	raw_header(fd, good);
	raw_header(fd, hostile[_i].header);
	turn(3);
	ck_assert_int_eq(right.messages, 1);
	ck_assert_int_eq(right.ends, 1);
	ck_assert_str_eq(right.reason, hostile[_i].reason);
	close(fd);
}
END_TEST

START_TEST(c4_flood_of_descriptors_is_the_end_of_the_peer)
{
	int fd = raw_peer(), before = descriptors();
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * 8)];
	} control;
	for (int i = 0; i < 5; i++) {
		char byte = ((const char *)&good)[i];
		struct iovec part = {&byte, 1};
		struct msghdr message = {.msg_iov = &part,
		    .msg_iovlen = 1,
		    .msg_control = &control,
		    .msg_controllen = sizeof control};
		memset(&control, 0, sizeof control);
		struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(sizeof(int) * 8);
		ck_assert_int_eq(sendmsg(fd, &message, 0), 1);
	}
	turn(6);
	ck_assert_int_eq(right.ends, 1);
	/* both channels are closed: left saw its peer go */
	ck_assert_int_eq(descriptors(), before - 2);
	close(fd);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("procmsg");
	TCase *tests = unit_case(suite, "procmsg");

	tcase_add_checked_fixture(tests, channels_open, channels_close);
	tcase_add_test(tests, c4_message_arrives_whole);
	tcase_add_test(tests, c4_messages_keep_their_order);
	tcase_add_test(tests, c4_descriptors_go_with_their_message);
	tcase_add_test(tests, c4_many_descriptors_leak_none);
	tcase_add_test(tests, c4_large_bodies_and_a_slow_reader);
	tcase_add_test(
	    tests, c4_end_of_the_peer_is_told_once_after_its_last_words);
	tcase_add_test(tests, c4_writing_to_a_gone_peer_is_no_crash);
	tcase_add_test(tests, c4_last_words_can_be_read_at_once);
	tcase_add_test(tests, c4_channel_may_be_freed_in_its_callbacks);
	tcase_add_test(tests, c4_half_messages_wait_for_their_rest);
	tcase_add_test(tests, c4_half_message_at_the_end_is_an_error);
	tcase_add_loop_test(tests, c4_nonsense_is_the_end_of_the_peer, 0,
	    (int)(sizeof hostile / sizeof *hostile));
	tcase_add_test(tests, c4_flood_of_descriptors_is_the_end_of_the_peer);
	return unit_run(suite);
}
