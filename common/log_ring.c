#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/log_parts.h"

/*
 * Lines lie one after another, each behind its length. While the reader keeps
 * up the ring is empty most of the time and starts at its first byte again, so
 * that only its first pages are ever touched.
 */
static struct {
	pthread_t thread;
	pthread_mutex_t lock; /* guards all below; held for copies only */
	pthread_cond_t filled, emptied;
	size_t start, used;
	uint64_t lines;
	bool writing; /* the thread has lines in `batch` */
	bool ending;
	int fd;
	char bytes[LOG_RING_SIZE];
	char batch[LOG_LINE_LIMIT];
} ring = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void
copy_in(const void *from, size_t size)
{
	size_t at = (ring.start + ring.used) % LOG_RING_SIZE;
	size_t first = LOG_RING_SIZE - at;

	if (first > size)
		first = size;
	memcpy(ring.bytes + at, from, first);
	memcpy(ring.bytes, (const char *)from + first, size - first);
	ring.used += size;
}

static void
copy_out(void *into, size_t skip, size_t size)
{
	size_t at = (ring.start + skip) % LOG_RING_SIZE;
	size_t first = LOG_RING_SIZE - at;

	if (first > size)
		first = size;
	memcpy(into, ring.bytes + at, first);
	memcpy((char *)into + first, ring.bytes, size - first);
}

bool
log_ring_add(const void *line, size_t size)
{
	uint32_t length = (uint32_t)size;
	bool fits;

	if (size > LOG_LINE_LIMIT)
		return false;
	pthread_mutex_lock(&ring.lock);
	fits =
	    !ring.ending && ring.used + sizeof(length) + size <= LOG_RING_SIZE;
	if (fits) {
		if (ring.used == 0)
			ring.start = 0;
		copy_in(&length, sizeof(length));
		copy_in(line, size);
		ring.lines++;
		pthread_cond_signal(&ring.filled);
	}
	pthread_mutex_unlock(&ring.lock);
	return fits;
}

/*
 * Moves whole lines into the batch: as many as a pipe takes in one piece
 * (PIPE_BUF), so that lines of several processes don't mix, but at least one.
 */
static size_t
take_batch(void)
{
	size_t size = 0;

	while (ring.used > 0) {
		uint32_t length;

		copy_out(&length, 0, sizeof(length));
		if (size > 0 && size + length > 4096)
			break;
		copy_out(ring.batch + size, sizeof(length), length);
		ring.start =
		    (ring.start + sizeof(length) + length) % LOG_RING_SIZE;
		ring.used -= sizeof(length) + length;
		ring.lines--;
		size += length;
	}
	return size;
}

/* Standard error may be non-blocking, because someone else wants it so. What
 * cannot be written at all is lost. */
static void
write_batch(size_t size)
{
	size_t done = 0;

	while (done < size) {
		struct pollfd ready = {ring.fd, POLLOUT, 0};
		ssize_t wrote = write(ring.fd, ring.batch + done, size - done);

		if (wrote > 0)
			done += (size_t)wrote;
		else if (wrote < 0 && errno == EAGAIN)
			poll(&ready, 1, -1);
		else if (wrote == 0 || errno != EINTR)
			return;
	}
}

static void *
run(void *unused)
{
	size_t size;

	(void)unused;
	pthread_mutex_lock(&ring.lock);
	while (ring.used > 0 || !ring.ending) {
		if (ring.used == 0) {
			pthread_cond_wait(&ring.filled, &ring.lock);
			continue;
		}
		size = take_batch();
		ring.writing = true;
		pthread_mutex_unlock(&ring.lock);
		write_batch(size);
		pthread_mutex_lock(&ring.lock);
		ring.writing = false;
		if (ring.used == 0)
			pthread_cond_signal(&ring.emptied);
	}
	pthread_mutex_unlock(&ring.lock);
	return NULL;
}

static void
init_conditions(void)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&ring.filled, &attributes);
	pthread_cond_init(&ring.emptied, &attributes);
	pthread_condattr_destroy(&attributes);
}

/* The thread inherits a full signal mask: signals are the main thread's. */
void
log_ring_open(int fd)
{
	pthread_attr_t attributes;
	sigset_t all, before;

	ring.fd = fd;
	ring.start = ring.used = 0;
	ring.lines = 0;
	ring.ending = ring.writing = false;
	init_conditions();
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 256 * 1024);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&ring.thread, &attributes, run, NULL) != 0)
		abort();
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
}

static struct timespec
after_ms(int ms)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += ms / 1000;
	at.tv_nsec += ms % 1000 * 1000000L;
	if (at.tv_nsec >= 1000000000) {
		at.tv_sec++;
		at.tv_nsec -= 1000000000;
	}
	return at;
}

uint64_t
log_ring_close(int limit_ms)
{
	struct timespec limit = after_ms(limit_ms);
	uint64_t lost;
	int rc = 0;

	pthread_mutex_lock(&ring.lock);
	ring.ending = true;
	pthread_cond_signal(&ring.filled);
	while ((ring.used > 0 || ring.writing) && rc == 0)
		rc = pthread_cond_timedwait(&ring.emptied, &ring.lock, &limit);
	lost = ring.lines + ring.writing;
	ring.used = 0; /* nothing more is written */
	pthread_mutex_unlock(&ring.lock);
	if (rc != 0) {
		pthread_detach(ring.thread); /* ends with us, in its write */
		return lost;
	}
	pthread_join(ring.thread, NULL);
	pthread_cond_destroy(&ring.filled);
	pthread_cond_destroy(&ring.emptied);
	return lost;
}
