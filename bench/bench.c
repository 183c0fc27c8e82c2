#include "bench/bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

/* Each process writes a byte to `ready` and waits for the end of `go`. */
static int ready_pipe[2], go_pipe[2];

void
bench_die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

long
bench_number(const char *text, long least)
{
	char *end;
	long number = strtol(text, &end, 10);

	if (*text == '\0' || *end != '\0' || number < least)
		bench_die("%s is no number from %ld on", text, least);
	return number;
}

static int64_t
clock_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t
bench_mono_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

int64_t
bench_wall_us(void)
{
	return clock_us(CLOCK_REALTIME);
}

static PGresult *
checked(PGconn *connection, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
		bench_die("%s", PQerrorMessage(connection));
	return result;
}

PGresult *
bench_exec(PGconn *connection, const char *sql)
{
	return checked(connection, PQexec(connection, sql));
}

PGconn *
bench_connect(const char *conninfo)
{
	PGconn *connection = PQconnectdb(conninfo);

	if (PQstatus(connection) != CONNECTION_OK)
		bench_die("%s", PQerrorMessage(connection));
	PQclear(bench_exec(connection, "SET jit = off")); /* as the daemon */
	return connection;
}

void
bench_prepare(PGconn *connection, const char *name, const char *sql)
{
	PQclear(checked(connection, PQprepare(connection, name, sql, 0, NULL)));
}

PGresult *
bench_run(
    PGconn *connection, const char *name, int count, const char *const *values)
{
	return checked(connection,
	    PQexecPrepared(connection, name, count, values, NULL, NULL, 0));
}

void
bench_go(void)
{
	char byte = 0;

	close(go_pipe[1]);
	if (write(ready_pipe[1], &byte, 1) != 1)
		bench_die("the program is gone");
	close(ready_pipe[1]); /* so that the end of one is seen by all */
	if (read(go_pipe[0], &byte, 1) != 0)
		bench_die("the program is gone");
}

static void
start_process(
    int index, bench_work *work, const void *argument, int64_t *ret_result)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		bench_die("cannot fork");
	if (pid > 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	*ret_result = work(index, argument);
	exit(0);
}

/* When the last has ended; one that failed ends the program. */
static int64_t
wait_for_all(int count)
{
	int status;

	for (int i = 0; i < count; i++)
		if (wait(&status) < 0 || status != 0)
			bench_die("a process of the bench failed");
	return bench_mono_us();
}

int64_t
bench_processes(
    int count, bench_work *work, const void *argument, int64_t *ret_total)
{
	size_t size = (size_t)count * sizeof(int64_t);
	int64_t *results = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int64_t began;
	char byte;

	if (results == MAP_FAILED || pipe(ready_pipe) < 0 || pipe(go_pipe) < 0)
		bench_die("no memory or descriptors");
	for (int i = 0; i < count; i++)
		start_process(i, work, argument, &results[i]);
	close(ready_pipe[1]);
	for (int i = 0; i < count; i++)
		if (read(ready_pipe[0], &byte, 1) != 1)
			bench_die("a process of the bench failed");
	began = bench_mono_us();
	close(go_pipe[1]);
	began = wait_for_all(count) - began;
	*ret_total = 0;
	for (int i = 0; i < count; i++)
		*ret_total += results[i];
	munmap(results, size);
	return began;
}
