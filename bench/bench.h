/*
 * What the programs of the bench share: several processes that start at the
 * same moment, and blocking libpq with errors that end the program.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <libpq-fe.h>
#include <stdint.h>

_Noreturn void bench_die(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* A number of the command line, from `least` on. */
long bench_number(const char *text, long least);

int64_t bench_mono_us(void);
int64_t bench_wall_us(void); /* since 1970, as PostgreSQL's clock */

PGconn *bench_connect(const char *conninfo);
/* A statement that must succeed; the caller clears the result. */
PGresult *bench_exec(PGconn *connection, const char *sql);
void bench_prepare(PGconn *connection, const char *name, const char *sql);
PGresult *bench_run(
    PGconn *connection, const char *name, int count, const char *const *values);

/*
 * Runs `work` in `count` processes. Each calls bench_go once it is ready; all
 * go when all are. Returns the microseconds from then until the last of them
 * has ended, and the sum of what they returned in `ret_total`.
 */
typedef int64_t bench_work(int index, const void *argument);
int64_t bench_processes(
    int count, bench_work *work, const void *argument, int64_t *ret_total);
void bench_go(void);

#endif
