/*
 * Clients of the schema:
 *
 * enqueue single|many CONNINFO PROCESSES TOTAL QUEUE KIND: as fast as it goes,
 * by enqueue or by enqueue_many with MANY payloads; prints tasks a second.
 *
 * enqueue paced CONNINFO GAP_MS TOTAL QUEUE KIND: one, and a pause of about
 * that length; prints the id of each and when its enqueue returned, in
 * microseconds of the wall clock.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/bench.h"
#include "common/text.h"

enum { MANY = 1000 };

struct order {
	const char *conninfo, *queue, *kind;
	bool many;
	long each; /* a process */
};

static void
prepare(PGconn *connection)
{
	bench_prepare(connection, "enqueue",
	    "SELECT muster.enqueue($1, '{}', queue => $2)");
	bench_prepare(connection, "enqueue_many",
	    "SELECT count(*) FROM muster.enqueue_many($1,"
	    " array_fill('{}'::jsonb, ARRAY[$3::int]), queue => $2)");
}

static void
enqueue_many(PGconn *connection, const struct order *order, long count)
{
	char number[24];
	const char *values[] = {order->kind, order->queue, number};

	snprintf(number, sizeof(number), "%ld", count);
	PQclear(bench_run(connection, "enqueue_many", 3, values));
}

static int64_t
enqueue(PGconn *connection, const struct order *order)
{
	const char *values[] = {order->kind, order->queue};
	PGresult *result = bench_run(connection, "enqueue", 2, values);
	int64_t id = strtoll(PQgetvalue(result, 0, 0), NULL, 10);

	PQclear(result);
	return id;
}

static int64_t
work(int index, const void *argument)
{
	const struct order *order = argument;
	PGconn *connection = bench_connect(order->conninfo);
	long step = order->many ? MANY : 1;

	(void)index;
	prepare(connection);
	bench_go();
	for (long done = 0; done < order->each; done += step) {
		long left = order->each - done;

		if (order->many)
			enqueue_many(
			    connection, order, left < step ? left : step);
		else
			(void)enqueue(connection, order);
	}
	PQfinish(connection);
	return order->each;
}

/* From half to one and a half of `ms`. */
static void
pause_about(long ms)
{
	int64_t us = ms * 500 + (int64_t)(drand48() * 1000 * (double)ms);
	struct timespec pause = {us / 1000000, us % 1000000 * 1000};

	nanosleep(&pause, NULL);
}

static void
paced(const struct order *order, long gap_ms, long total)
{
	PGconn *connection = bench_connect(order->conninfo);

	prepare(connection);
	for (long i = 0; i < total; i++) {
		int64_t id;

		pause_about(gap_ms);
		id = enqueue(connection, order);
		printf("%" PRId64 " %" PRId64 "\n", id, bench_wall_us());
	}
	PQfinish(connection);
}

int
main(int argc, char **argv)
{
	struct order order = {0};
	int64_t us, total;
	long number, wanted;

	if (argc != 7)
		bench_die("usage: enqueue single|many|paced CONNINFO "
			  "PROCESSES|GAP_MS TOTAL QUEUE KIND");
	order.conninfo = argv[2];
	number = bench_number(argv[3], 1);
	wanted = bench_number(argv[4], 1);
	order.queue = argv[5];
	order.kind = argv[6];
	if (strcmp(argv[1], "paced") == 0) {
		paced(&order, number, wanted);
		return 0;
	}
	order.many = strcmp(argv[1], "many") == 0;
	order.each = wanted / number;
	us = bench_processes((int)number, work, &order, &total);
	printf("%.0f\n", (double)total * 1e6 / (double)us);
	return 0;
}
