#include "ctl/table_json.h"

#include <stdlib.h>
#include <string.h>

enum { COLUMNS_MOST = 24 };

static const json_t *
walk(const json_t *object, const char *path)
{
	while (object != NULL && *path != '\0') {
		size_t length = strcspn(path, ".");
		char *key = strndup(path, length);

		if (key == NULL)
			abort();
		object = json_object_get(object, key);
		free(key);
		path += length + (path[length] == '.');
	}
	return object;
}

/* False: null, or nothing that fits a cell. */
static bool
add_cell(struct text *cell, const struct column *column, const json_t *value)
{
	if (column->type == COLUMN_TIME && json_is_number(value))
		text_add_int(cell, (int64_t)(json_number_value(value) * 1e6));
	else if (json_is_string(value))
		text_add_string(cell, json_string_value(value));
	else if (json_is_integer(value))
		text_add_int(cell, json_integer_value(value));
	else if (json_is_real(value))
		text_addf(cell, "%.1f", json_real_value(value));
	else if (json_is_boolean(value))
		text_add_char(cell, json_is_true(value) ? 't' : 'f');
	else if (json_is_array(value))
		text_add_int(cell, (int64_t)json_array_size(value));
	else
		return false;
	return true;
}

static void
set_cell(PGresult *rows, int row, int number, const struct column *column,
    const json_t *value)
{
	struct text cell = TEXT_EMPTY;
	bool set = add_cell(&cell, column, value);

	if (!PQsetvalue(rows, row, number, set ? cell.data : NULL,
		set ? (int)cell.length : -1))
		abort();
	text_free(&cell);
}

PGresult *
table_from_json(const struct column *columns, const json_t *array)
{
	PGresult *rows = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	PGresAttDesc attributes[COLUMNS_MOST] = {0};
	char *names[COLUMNS_MOST];
	int count = 0;

	if (rows == NULL)
		abort();
	for (; columns[count].name != NULL && count < COLUMNS_MOST; count++) {
		names[count] = strdup(columns[count].name);
		if (names[count] == NULL)
			abort();
		attributes[count].name = names[count];
	}
	if (!PQsetResultAttrs(rows, count, attributes))
		abort();
	for (size_t row = 0; row < json_array_size(array); row++)
		for (int i = 0; i < count; i++)
			set_cell(rows, (int)row, i, &columns[i],
			    walk(json_array_get(array, row), columns[i].name));
	for (int i = 0; i < count; i++)
		free(names[i]);
	return rows;
}
