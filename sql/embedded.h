/* The SQL of the schema, embedded by embed.sh. Names in ascending order. */
#ifndef SQL_EMBEDDED_H
#define SQL_EMBEDDED_H

#include <stddef.h>

struct sql_file {
	const char *name; /* without its folder: "001_tables.sql" */
	const char *text;
};

/* migrations/NNN_name.sql: each is applied once, in order. */
extern const struct sql_file sql_migrations[];
extern const size_t sql_migration_count;

/* The oldest version of a program that may use the newest schema: from the line
 * "-- compatible_from: N" of the last migration. */
extern const int sql_compatible_from;

/* functions/(*.sql): CREATE OR REPLACE, all of them whenever one changed. */
extern const struct sql_file sql_functions[];
extern const size_t sql_function_count;

/* grants.sql: may be run again at any time. */
extern const char sql_grants[];

/* Of the functions' and grants' text: tells whether they changed. */
extern const char sql_content_hash[];

#endif
