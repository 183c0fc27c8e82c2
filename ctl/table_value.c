/* One value from the database, for people and for programs. */
#include "ctl/table.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/format.h"

/* NULL: null, or no such column. */
static const char *
value_of(const struct column *column, const PGresult *result, int row)
{
	int number = PQfnumber(result, column->name);

	if (number < 0 || PQgetisnull(result, row, number))
		return NULL;
	return PQgetvalue(result, row, number);
}

static void
add_names(struct text *text, const char *value)
{
	json_t *names = json_loads(value, 0, NULL), *name;
	size_t index;

	json_array_foreach(names, index, name)
	{
		const char *string = json_string_value(name);

		if (index > 0)
			text_add_string(text, ", ");
		if (string != NULL)
			text_add_escaped(text, string, strlen(string));
	}
	json_decref(names);
}

void
table_add_value(struct text *text, const struct column *column,
    const PGresult *result, int row)
{
	const char *value = value_of(column, result, row);

	if (value == NULL)
		return;
	switch (column->type) {
	case COLUMN_MS:
		format_ms(text, strtoll(value, NULL, 10));
		break;
	case COLUMN_TIME:
		format_time(text, strtoll(value, NULL, 10));
		break;
	case COLUMN_BOOL:
		text_add_string(text, *value == 't' ? "yes" : "no");
		break;
	case COLUMN_NAMES:
		add_names(text, value);
		break;
	default:
		text_add_escaped(text, value, strlen(value));
	}
}

static void
json_value(struct json *json, const struct column *column, const char *value)
{
	struct text time = TEXT_EMPTY;

	switch (column->type) {
	case COLUMN_NUMBER:
	case COLUMN_MS:
	case COLUMN_JSON:
	case COLUMN_NAMES:
		json_add_raw(json, value);
		break;
	case COLUMN_BOOL:
		json_add_bool(json, *value == 't');
		break;
	case COLUMN_TIME:
		format_time_utc(&time, strtoll(value, NULL, 10));
		json_add_string(json, text_string(&time));
		text_free(&time);
		break;
	default:
		json_add_string(json, value);
	}
}

void
table_json_members(struct json *json, const struct column *columns,
    const PGresult *result, int row)
{
	for (; columns->name != NULL; columns++) {
		const char *value = value_of(columns, result, row);

		json_add_key(json, columns->name);
		if (value == NULL)
			json_add_raw(json, NULL);
		else
			json_value(json, columns, value);
	}
}

void
table_json(
    struct json *json, const struct column *columns, const PGresult *result)
{
	json_begin(json, '[');
	for (int row = 0; row < PQntuples(result); row++) {
		json_begin(json, '{');
		table_json_members(json, columns, result, row);
		json_end(json, '}');
	}
	json_end(json, ']');
}
