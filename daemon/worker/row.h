/* Numbers of a result of PostgreSQL. */
#ifndef DAEMON_WORKER_ROW_H
#define DAEMON_WORKER_ROW_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

static inline int64_t
row_digits(const char **at)
{
	int negative = **at == '-';
	uint64_t number = 0;

	for (*at += negative; **at >= '0' && **at <= '9'; (*at)++)
		number = number * 10 + (uint64_t)(**at - '0');
	return (int64_t)(negative ? 0 - number : number);
}

/* A whole number as PostgreSQL prints it; 0 for null. */
static inline int64_t
row_int(const PGresult *result, int row, int column)
{
	const char *digits = PQgetvalue(result, row, column);

	return row_digits(&digits);
}

/* The next of an array of whole numbers, none of them null, as PostgreSQL
 * prints it: `at` begins at its value, and is moved on. False: there are no
 * more, or the array is null; *ret_number is untouched then. */
static inline bool
row_next_int(const char **at, int64_t *ret_number)
{
	if (**at != '{' && **at != ',')
		return false;
	(*at)++;
	if (**at == '}')
		return false;
	*ret_number = row_digits(at);
	return true;
}

static inline int
row_bool(const PGresult *result, int row, int column)
{
	return PQgetvalue(result, row, column)[0] == 't';
}

#endif
