/*
 * latency CONNINFO QUEUE KIND COUNT: the quickest pick-up that the schema
 * allows: sleeps on a queue, LISTENs, and takes a turn when it is told of a
 * ready task. Says "ready" once it listens, ends after COUNT tasks.
 */
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/turn.h"
#include "daemon/worker/statements.h"

static void
sleep_on(PGconn *connection, const struct turn *turn, const char *queue)
{
	char queues[256];
	const char *values[] = {"bench", turn->worker, queues};

	snprintf(queues, sizeof(queues), "{%s}", queue);
	bench_prepare(
	    connection, statement_sleep_on.name, statement_sleep_on.sql);
	PQclear(bench_run(connection, statement_sleep_on.name, 3, values));
	PQclear(bench_exec(connection, "LISTEN muster"));
}

static void
wake_up(PGconn *connection, const struct turn *turn)
{
	const char *values[] = {turn->worker};

	bench_prepare(
	    connection, statement_wake_up.name, statement_wake_up.sql);
	PQclear(bench_run(connection, statement_wake_up.name, 1, values));
}

/* Whether a task is ready, as far as the server has told. */
static bool
was_told(PGconn *connection)
{
	PGnotify *notify;
	bool told = false;

	while ((notify = PQnotifies(connection)) != NULL) {
		told = told || strncmp(notify->extra, "ready ", 6) == 0;
		PQfreemem(notify);
	}
	return told;
}

static void
wait_until_told(PGconn *connection)
{
	struct pollfd socket = {.fd = PQsocket(connection), .events = POLLIN};

	while (!was_told(connection))
		if (poll(&socket, 1, -1) < 0 || !PQconsumeInput(connection))
			bench_die("%s", PQerrorMessage(connection));
}

int
main(int argc, char **argv)
{
	struct turn turn = {0};
	PGconn *connection;
	long count, done = 0;

	if (argc != 5)
		bench_die("usage: latency CONNINFO QUEUE KIND COUNT");
	count = bench_number(argv[4], 1);
	connection = bench_connect(argv[1]);
	turn_open(&turn, connection, argv[2], argv[3]);
	sleep_on(connection, &turn, argv[2]);
	(void)turn_take(&turn, 1);
	puts("ready");
	fflush(stdout);
	while (done < count) {
		int claimed = turn_take(&turn, 1);

		if (claimed == 0)
			wait_until_told(connection);
		done += claimed;
	}
	(void)turn_take(&turn, 0);
	wake_up(connection, &turn);
	turn_close(&turn);
	PQfinish(connection);
	return 0;
}
