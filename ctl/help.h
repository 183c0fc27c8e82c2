/* What --help prints, from the table of verbs. */
#ifndef CTL_HELP_H
#define CTL_HELP_H

#include <stdio.h>

struct verb;

void help_all(FILE *out);			    /* musterctl --help */
void help_verb(FILE *out, const struct verb *verb); /* VERB --help */

#endif
