/*
 * floor turn CONNINFO PROCESSES BATCH QUEUE KIND: works the queue off with the
 * worker's own statement and nothing else: each process takes a turn after
 * another, in which it finishes what the last one claimed. Prints the tasks.
 *
 * floor delete CONNINFO PROCESSES BATCH ROWS: deletes that many narrow rows
 * of bench_narrow (ids from 1) with RETURNING, each process in its own part.
 * Prints rows a second: what the server can commit at best.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/turn.h"

struct order {
	const char *conninfo, *queue, *kind;
	int processes;
	long batch, rows;
};

static int64_t
turn_work(int index, const void *argument)
{
	const struct order *order = argument;
	PGconn *connection = bench_connect(order->conninfo);
	struct turn turn = {0};
	int64_t finished = 0;
	int claimed;

	(void)index;
	turn_open(&turn, connection, order->queue, order->kind);
	bench_go();
	do {
		claimed = turn_take(&turn, (int)order->batch);
		finished += claimed;
	} while (claimed > 0);
	turn_close(&turn);
	PQfinish(connection);
	return finished;
}

static int64_t
delete_work(int index, const void *argument)
{
	const struct order *order = argument;
	PGconn *connection = bench_connect(order->conninfo);
	long part = order->rows / order->processes;
	long at = part * index + 1, end = at + part;
	int64_t deleted = 0;

	bench_prepare(connection, "delete",
	    "DELETE FROM bench_narrow WHERE id BETWEEN $1 AND $2 RETURNING id");
	bench_go();
	for (; at < end; at += order->batch) {
		long last = at + order->batch > end ? end : at + order->batch;
		char from[24], to[24];
		const char *values[] = {from, to};
		PGresult *result;

		snprintf(from, sizeof(from), "%ld", at);
		snprintf(to, sizeof(to), "%ld", last - 1);
		result = bench_run(connection, "delete", 2, values);
		deleted += PQntuples(result);
		PQclear(result);
	}
	PQfinish(connection);
	return deleted;
}

int
main(int argc, char **argv)
{
	struct order order = {0};
	int64_t us, total;

	if (argc < 6)
		bench_die("usage: floor turn|delete CONNINFO PROCESSES BATCH "
			  "QUEUE KIND | ROWS");
	order.conninfo = argv[2];
	order.processes = (int)bench_number(argv[3], 1);
	order.batch = bench_number(argv[4], 1);
	if (strcmp(argv[1], "delete") == 0) {
		order.rows = bench_number(argv[5], 1);
		us = bench_processes(
		    order.processes, delete_work, &order, &total);
		printf("%.0f\n", (double)total * 1e6 / (double)us);
		return 0;
	}
	if (argc < 7)
		bench_die("floor turn needs a queue and a kind");
	order.queue = argv[5];
	order.kind = argv[6];
	(void)bench_processes(order.processes, turn_work, &order, &total);
	printf("%" PRId64 "\n", total);
	return 0;
}
