/* Tables of what comes as JSON (the daemon's answers). */
#ifndef CTL_TABLE_JSON_H
#define CTL_TABLE_JSON_H

#include <jansson.h>

#include "ctl/table.h"

/*
 * A row an object of the array, a column each of `columns`, whose names may
 * be paths ("lag_us.p99"). An array becomes the number of its members, a time
 * is in seconds since 1970. The caller clears the result.
 */
PGresult *table_from_json(const struct column *columns, const json_t *array);

#endif
