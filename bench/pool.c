/*
 * pool CONCURRENCY: a process of a pool that answers each task at once, all
 * that one read brings with one write.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"

enum { SOCKET = 3, BYTES = 1 << 16 };

static void
say(const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = write(SOCKET, bytes, size);

		if (n < 0 && errno != EINTR)
			bench_die("the worker is gone");
		if (n > 0) {
			bytes += n;
			size -= (size_t)n;
		}
	}
}

/* The answer to `{"run":{"id":"42",…`; its size. */
static size_t
answer(const char *line, size_t size, char *into)
{
	static const char start[] = "{\"run\":{\"id\":";
	static const char done[] = "{\"done\":{\"id\":", end[] = "}}\n";
	size_t at = strlen(start), id = 0, length = strlen(done);

	if (size < at || memcmp(line, start, at) != 0)
		return 0;
	while (at + id < size && line[at + id] != ',')
		id++;
	memcpy(into, done, length);
	memcpy(into + length, line + at, id);
	memcpy(into + length + id, end, strlen(end));
	return length + id + strlen(end);
}

/* Answers whole lines; how many bytes they had. */
static size_t
answer_all(const char *bytes, size_t size)
{
	static char out[BYTES];
	size_t used = 0, waits = 0;
	const char *end;

	while ((end = memchr(bytes + used, '\n', size - used)) != NULL) {
		size_t line = (size_t)(end - bytes) - used;

		waits += answer(bytes + used, line, out + waits);
		used += line + 1;
	}
	say(out, waits);
	return used;
}

int
main(int argc, char **argv)
{
	static char in[BYTES];
	char hello[80];
	size_t size = 0;
	ssize_t n;

	if (argc != 2)
		bench_die("usage: pool CONCURRENCY");
	say(hello,
	    (size_t)snprintf(hello, sizeof(hello),
		"{\"hello\":{\"protocol\":1,\"concurrency\":%s}}\n", argv[1]));
	while ((n = read(SOCKET, in + size, sizeof(in) - size)) > 0) {
		size_t used = answer_all(in, size + (size_t)n);

		size += (size_t)n - used;
		memmove(in, in + used, size);
	}
	return 0;
}
