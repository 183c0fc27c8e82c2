#include "ctl/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/terminal.h"

enum { COLUMNS_MOST = 24, LEAST_WIDTH = 6 };

/* A table being laid out. */
struct layout {
	const struct column *shown[COLUMNS_MOST];
	int widths[COLUMNS_MOST];
	int count, rows;
	char **cells; /* owned strings, row by row */
};

static void
choose_columns(struct layout *layout, const struct column *columns)
{
	for (; columns->name != NULL; columns++)
		if (columns->title != NULL && layout->count < COLUMNS_MOST)
			layout->shown[layout->count++] = columns;
}

static void
fill_cell(struct layout *layout, const PGresult *result, int row, int i)
{
	struct text text = TEXT_EMPTY;
	int width;

	table_add_value(&text, layout->shown[i], result, row);
	if (text.length == 0)
		text_add_char(&text, '-');
	width = terminal_columns(text_string(&text));
	if (width > layout->widths[i])
		layout->widths[i] = width;
	layout->cells[row * layout->count + i] = text_steal(&text);
}

static void
fill_cells(struct layout *layout, const PGresult *result)
{
	layout->rows = PQntuples(result);
	layout->cells = calloc(
	    (size_t)layout->rows * (size_t)layout->count + 1, sizeof(char *));
	if (layout->cells == NULL)
		abort();
	for (int i = 0; i < layout->count; i++)
		layout->widths[i] = terminal_columns(layout->shown[i]->title);
	for (int row = 0; row < layout->rows; row++)
		for (int i = 0; i < layout->count; i++)
			fill_cell(layout, result, row, i);
}

static bool
may_be_cut(const struct column *column)
{
	return column->type == COLUMN_TEXT || column->type == COLUMN_NAMES ||
	       column->type == COLUMN_JSON;
}

static int
total_width(const struct layout *layout)
{
	int total = 2 * (layout->count - 1);

	for (int i = 0; i < layout->count; i++)
		total += layout->widths[i];
	return total;
}

/* Takes columns from the widest text until the table fits. */
static void
fit(struct layout *layout, int width)
{
	while (width > 0 && total_width(layout) > width) {
		int widest = -1;

		for (int i = 0; i < layout->count; i++)
			if (may_be_cut(layout->shown[i]) &&
			    layout->widths[i] > LEAST_WIDTH &&
			    (widest < 0 ||
				layout->widths[i] > layout->widths[widest]))
				widest = i;
		if (widest < 0)
			return;
		layout->widths[widest]--;
	}
}

static bool
is_right(const struct column *column)
{
	return column->type == COLUMN_ID || column->type == COLUMN_NUMBER ||
	       column->type == COLUMN_MS;
}

static void
print_cell(
    const struct layout *layout, int i, const char *cell, const char *colour)
{
	struct text cut = TEXT_EMPTY;
	bool last = i == layout->count - 1;
	int pad;

	terminal_add_cut(&cut, cell, layout->widths[i]);
	pad = layout->widths[i] - terminal_columns(text_string(&cut));
	printf("%*s%s%s%s", is_right(layout->shown[i]) ? pad : 0, "", colour,
	    text_string(&cut), *colour != '\0' ? terminal_plain() : "");
	if (!last)
		printf("%*s", (is_right(layout->shown[i]) ? 0 : pad) + 2, "");
	text_free(&cut);
}

static void
print_rows(const struct layout *layout)
{
	for (int i = 0; i < layout->count; i++)
		print_cell(layout, i, layout->shown[i]->title, terminal_bold());
	putchar('\n');
	for (int row = 0; row < layout->rows; row++) {
		for (int i = 0; i < layout->count; i++) {
			const char *cell =
			    layout->cells[row * layout->count + i];
			bool state = layout->shown[i]->type == COLUMN_STATE;

			print_cell(layout, i, cell,
			    state ? terminal_state_colour(cell) : "");
		}
		putchar('\n');
	}
}

static void
print_table(const struct column *columns, const PGresult *result)
{
	struct layout layout = {0};

	choose_columns(&layout, columns);
	fill_cells(&layout, result);
	fit(&layout, terminal_width());
	print_rows(&layout);
	for (int i = 0; i < layout.rows * layout.count; i++)
		free(layout.cells[i]);
	free(layout.cells);
}

void
table_print(const struct ctl *ctl, const struct column *columns,
    const PGresult *result, const char *empty)
{
	struct json json = JSON_EMPTY;

	if (ctl_json(ctl)) {
		table_json(&json, columns, result);
		json_print(&json);
	} else if (PQntuples(result) == 0) {
		printf("%s\n", empty);
	} else {
		print_table(columns, result);
	}
}

/* The lines of a text under each other; `indent` columns stand before. */
static void
print_lines(const char *text, int indent, const char *colour)
{
	struct text line = TEXT_EMPTY;

	for (;;) {
		size_t length = strcspn(text, "\n");

		text_clear(&line);
		text_add_escaped(&line, text, length);
		printf("%s%s%s\n", colour, text_string(&line),
		    *colour != '\0' ? terminal_plain() : "");
		text += length;
		if (text[0] == '\0' || text[1] == '\0')
			break;
		printf("%*s", indent, "");
		text++;
	}
	text_free(&line);
}

static void
print_field(
    const struct column *column, const PGresult *result, int row, int width)
{
	struct text text = TEXT_EMPTY;
	const char *value, *colour = "";

	table_add_value(&text, column, result, row);
	if (text.length == 0)
		return;
	value = text_string(&text);
	if (column->type == COLUMN_STATE)
		colour = terminal_state_colour(value);
	else if (column->type == COLUMN_TEXT) /* as it is, line by line */
		value =
		    PQgetvalue(result, row, PQfnumber(result, column->name));
	printf("%s%-*s%s  ", terminal_dim(), width, column->title,
	    terminal_plain());
	print_lines(value, width + 2, colour);
	text_free(&text);
}

void
table_print_record(
    const struct column *columns, const PGresult *result, int row)
{
	int width = 0;

	for (const struct column *at = columns; at->name != NULL; at++)
		if (at->title != NULL && (int)strlen(at->title) > width)
			width = (int)strlen(at->title);
	for (; columns->name != NULL; columns++)
		if (columns->title != NULL)
			print_field(columns, result, row, width);
}
