/* Standard output: whether a person looks at it, how wide it is, colours. */
#ifndef CTL_TERMINAL_H
#define CTL_TERMINAL_H

#include <stdbool.h>

#include "common/text.h"

bool terminal_is_person(void);	/* standard output is a terminal */
int terminal_width(void);	/* columns; 0: no terminal, no limit */
int terminal_height(void);	/* lines; 0: no terminal */
bool terminal_has_colour(void); /* NO_COLOR and TERM=dumb are honoured */

/* Columns that UTF-8 text takes. */
int terminal_columns(const char *string);
/* Adds at most `columns` columns of a string, "…" where it was cut. */
void terminal_add_cut(struct text *text, const char *string, int columns);

/* Adds a bar of 30 columns that is full to the share done / total. */
void terminal_add_bar(struct text *text, size_t done, size_t total);

/* The colour that a state of a task, flow or worker has; "" without colours. */
const char *terminal_state_colour(const char *state);
const char *terminal_bold(void);
const char *terminal_dim(void);
const char *terminal_plain(void); /* ends a colour */

#endif
