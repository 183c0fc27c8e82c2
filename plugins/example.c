/*
 * A plugin for musterd: counts the primes below payload.below, tells how far
 * it is, and ends early when it is told to.
 *
 *	cc -O2 -shared -fPIC $(pkg-config --cflags musterd-plugin) \
 *		-o primes.so example.c
 *
 *	handlers:
 *	  primes: {plugin: /usr/local/lib/app/primes.so, threads: 2}
 *
 *	SELECT muster.enqueue('primes', '{"below": 1000000}');
 */
#include <inttypes.h>
#include <muster/plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_EVERY = 1 << 16 };

static int
is_prime(long n)
{
	for (long d = 2; d * d <= n; d++)
		if (n % d == 0)
			return 0;
	return n > 1;
}

/* Where payloads are larger than this, use a JSON library. */
static long
read_below(const struct muster_task *task)
{
	const char *at = strstr(task->payload, "\"below\":");

	return at == NULL ? -1 : strtol(at + strlen("\"below\":"), NULL, 10);
}

static enum muster_end
run(struct muster_task *task)
{
	long below = read_below(task), count = 0;
	char result[64];
	int length;

	if (below < 0) {
		muster_error(task, "the payload has no number \"below\"");
		return MUSTER_FAILED_FOR_GOOD;
	}
	for (long n = 0; n < below; n++) {
		count += is_prime(n);
		if (n % LOOK_EVERY != 0)
			continue;
		if (muster_cancelled(task))
			return MUSTER_FAILED;
		muster_progress(task, (double)n / (double)below, NULL);
	}
	length = snprintf(result, sizeof(result), "{\"primes\":%ld}", count);
	muster_result(task, result, (size_t)length);
	return MUSTER_DONE;
}

MUSTER_PLUGIN(run)
