#include "daemon/schema.h"

#include <stdlib.h>
#include <string.h>

enum { KNOWN_VERSION = 7 };

enum { COLUMN_VERSION, COLUMN_COMPATIBLE_FROM };

const struct pg_statement schema_statement = {
    "schema", "SELECT version, compatible_from FROM muster.schema_version", 0};

static bool
is_missing(const char *sqlstate)
{
	return strcmp(sqlstate, "42P01") == 0 || strcmp(sqlstate, "3F000") == 0;
}

static long
number(const PGresult *result, int column)
{
	return strtol(PQgetvalue(result, 0, column), NULL, 10);
}

/* NULL: it fits. */
static const char *
unfit(const PGresult *result)
{
	if (is_missing(pg_sqlstate(result)))
		return "the database has no schema muster; "
		       "run musterctl migrate";
	if (PQntuples(result) != 1)
		return "the schema is not complete; run musterctl migrate";
	if (number(result, COLUMN_COMPATIBLE_FROM) > KNOWN_VERSION)
		return "the schema is newer than this musterd; "
		       "upgrade musterd";
	if (number(result, COLUMN_VERSION) < KNOWN_VERSION)
		return "the schema is older than this musterd; "
		       "run musterctl migrate";
	return NULL;
}

enum schema_fit
schema_judge(const PGresult *result, const char **ret_sentence)
{
	*ret_sentence = NULL;
	if (PQresultStatus(result) != PGRES_TUPLES_OK &&
	    !is_missing(pg_sqlstate(result)))
		return SCHEMA_UNREADABLE;
	*ret_sentence = unfit(result);
	return *ret_sentence == NULL ? SCHEMA_FITS : SCHEMA_UNFIT;
}
