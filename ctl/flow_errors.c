/* What is wrong with a flow file, kept and told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/flow.h"
#include "common/yaml_tree.h"

void
flow_error_add(struct flow_errors *errors, const struct yaml_source *source,
    const struct error *error)
{
	struct text caret = TEXT_EMPTY;

	if (errors->count == FLOW_ERRORS) {
		errors->dropped++;
		return;
	}
	if (source != NULL)
		yaml_caret(source, error->line, error->column, &caret);
	errors->items[errors->count] = *error;
	errors->carets[errors->count] = text_steal(&caret);
	errors->count++;
}

void
flow_place(const struct flow *flow, struct error *error, int line, int column)
{
	error_place(error, flow->source->name, line, column);
}

void
flow_errors_print(const struct flow_errors *errors)
{
	struct text line = TEXT_EMPTY;

	for (size_t i = 0; i < errors->count; i++) {
		char whole[1400];

		error_format(&errors->items[i], whole, sizeof(whole));
		text_clear(&line);
		text_add_escaped(&line, whole, strlen(whole));
		fprintf(stderr, "%s\n%s%s", text_string(&line),
		    errors->carets[i], *errors->carets[i] != '\0' ? "\n" : "");
	}
	if (errors->dropped > 0)
		fprintf(stderr, "and %zu more errors\n", errors->dropped);
	text_free(&line);
}

void
flow_errors_free(struct flow_errors *errors)
{
	for (size_t i = 0; i < errors->count; i++)
		free(errors->carets[i]);
	errors->count = 0;
}
