/* Numbers of a result of PostgreSQL. */
#ifndef DAEMON_WORKER_ROW_H
#define DAEMON_WORKER_ROW_H

#include <libpq-fe.h>
#include <stdint.h>

/* A whole number as PostgreSQL prints it; 0 for null. */
static inline int64_t
row_int(const PGresult *result, int row, int column)
{
	const char *digit = PQgetvalue(result, row, column);
	int negative = *digit == '-';
	uint64_t number = 0;

	for (digit += negative; *digit >= '0' && *digit <= '9'; digit++)
		number = number * 10 + (uint64_t)(*digit - '0');
	return (int64_t)(negative ? 0 - number : number);
}

static inline int
row_bool(const PGresult *result, int row, int column)
{
	return PQgetvalue(result, row, column)[0] == 't';
}

#endif
