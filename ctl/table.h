/*
 * Rows from the database for people (aligned columns, as wide as the
 * terminal) or programs (JSON), by a description of the columns.
 */
#ifndef CTL_TABLE_H
#define CTL_TABLE_H

#include <libpq-fe.h>

#include "ctl/ctl.h"
#include "ctl/json.h"

enum column_type {
	COLUMN_TEXT,
	COLUMN_STATE, /* text, coloured */
	COLUMN_ID,    /* 64 bits: a string in JSON */
	COLUMN_NUMBER,
	COLUMN_BOOL,  /* PostgreSQL's t and f */
	COLUMN_MS,    /* milliseconds; a number in JSON */
	COLUMN_TIME,  /* microseconds since 1970; ISO 8601 in JSON */
	COLUMN_JSON,  /* as it stands */
	COLUMN_NAMES, /* a JSON array of strings; a, b, c for people */
};

struct column {
	const char *name;  /* of the result's column, and in JSON */
	const char *title; /* for people; NULL: in JSON only */
	enum column_type type;
};

/* All rows: a table, or one JSON array. `columns` ends with an empty one. A
 * null is "-" for people. `empty` is what people read when there is no row. */
void table_print(const struct ctl *ctl, const struct column *columns,
    const PGresult *result, const char *empty);

/* One row: a line a column for people, more for a text of several. Nulls are
 * left out. */
void table_print_record(
    const struct column *columns, const PGresult *result, int row);

/* The members of one row, into an object that is open. */
void table_json_members(struct json *json, const struct column *columns,
    const PGresult *result, int row);
/* All rows as an array of objects. */
void table_json(
    struct json *json, const struct column *columns, const PGresult *result);

/* One value as people read it, escaped; nothing for null. */
void table_add_value(struct text *text, const struct column *column,
    const PGresult *result, int row);

#endif
