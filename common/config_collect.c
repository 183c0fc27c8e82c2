#include "common/config_collect.h"

#include <stdlib.h>
#include <string.h>

#include "common/config_check.h"
#include "common/config_table.h"

/* Kept small: a file may have an error in each of its lines. */
struct config_found {
	const struct yaml_source *source; /* NULL: about a whole file */
	size_t order;
	int line, column;
	char *file, *text; /* owned */
};

/* Whether text of a configuration may hold a password or the like. */
static bool
shows_secret(const char *line)
{
	struct text hidden = TEXT_EMPTY;
	bool secret;

	config_hide_password(line, &hidden);
	secret = strcmp(text_string(&hidden), line) != 0 ||
		 config_names_secret(line, strlen(line));
	text_free(&hidden);
	return secret;
}

static void
add_caret(const struct config_found *found, struct text *ret_caret)
{
	struct text line = TEXT_EMPTY;

	if (found->source == NULL)
		return;
	yaml_line(found->source, found->line, &line);
	if (!shows_secret(text_string(&line)))
		yaml_caret(
		    found->source, found->line, found->column, ret_caret);
	text_free(&line);
}

void
config_collect(struct config_collector *collector,
    const struct yaml_source *source, const struct error *error)
{
	size_t count = collector->count;
	struct config_found *found = collector->found;

	if ((count & (count - 1)) == 0) /* grows at powers of two */
		found = reallocarray(
		    found, count == 0 ? 1 : count * 2, sizeof(*found));
	if (found == NULL)
		abort();
	collector->found = found;
	found[count].source = source;
	found[count].order = count;
	found[count].line = error->line;
	found[count].column = error->column;
	found[count].file = strdup(error->file);
	found[count].text = strdup(error->text);
	if (found[count].file == NULL || found[count].text == NULL)
		abort();
	collector->count++;
}

void
config_collect_report(const struct yaml_source *source,
    const struct error *error, void *collector)
{
	config_collect(collector, source, error);
}

static int
number_of(const struct config_found *found)
{
	return found->source == NULL ? -1 : found->source->number;
}

static int
compare_found(const void *a, const void *b)
{
	const struct config_found *left = a, *right = b;
	int files = number_of(left) - number_of(right);

	if (files != 0)
		return files;
	if (left->line != right->line)
		return left->line - right->line;
	if (left->column != right->column)
		return left->column - right->column;
	return left->order < right->order ? -1 : 1;
}

void
config_errors_add(
    struct config_errors *errors, const struct error *error, const char *caret)
{
	size_t count = errors->count + 1;

	errors->items =
	    reallocarray(errors->items, count, sizeof(*errors->items));
	errors->carets =
	    reallocarray(errors->carets, count, sizeof(*errors->carets));
	if (errors->items == NULL || errors->carets == NULL)
		abort();
	errors->items[count - 1] = *error;
	errors->carets[count - 1] = strdup(caret);
	if (errors->carets[count - 1] == NULL)
		abort();
	errors->count = count;
}

static void
hand_over(const struct config_found *found, struct config_errors *errors)
{
	struct text caret = TEXT_EMPTY;
	struct error error;

	error_set(&error, "%s", found->text);
	error_place(&error, found->file, found->line, found->column);
	add_caret(found, &caret);
	config_errors_add(errors, &error, text_string(&caret));
	text_free(&caret);
}

void
config_collector_end(
    struct config_collector *collector, struct config_errors *ret_errors)
{
	if (collector->count > 0)
		qsort(collector->found, collector->count,
		    sizeof(collector->found[0]), compare_found);
	for (size_t i = 0; i < collector->count; i++) {
		struct config_found *found = &collector->found[i];

		if (i < CONFIG_ERRORS_LIMIT)
			hand_over(found, ret_errors);
		free(found->file);
		free(found->text);
	}
	free(collector->found);
	*collector = (struct config_collector){0};
}

void
config_errors_free(struct config_errors *errors)
{
	for (size_t i = 0; i < errors->count; i++)
		free(errors->carets[i]);
	free(errors->items);
	free(errors->carets);
	*errors = (struct config_errors){0};
}

void
config_errors_print(const struct config_errors *errors, struct text *ret_text)
{
	char line[sizeof(struct error) + 64];

	for (size_t i = 0; i < errors->count; i++) {
		error_format(&errors->items[i], line, sizeof(line));
		text_add_string(ret_text, line);
		text_add_char(ret_text, '\n');
		if (errors->carets[i][0] == '\0')
			continue;
		text_add_string(ret_text, errors->carets[i]);
		text_add_char(ret_text, '\n');
	}
}
