/*
 * Command-line options: --name VALUE, --name=VALUE, -n VALUE, flags; options
 * and arguments in any order; "--" ends the options.
 */
#ifndef CTL_OPTIONS_H
#define CTL_OPTIONS_H

#include <stdbool.h>

#include "common/error.h"

struct option {
	const char *name;     /* NULL ends a list */
	char letter;	      /* 0: none */
	const char *argument; /* how the help calls its value; NULL: a flag */
	const char *help;     /* one line */
};

enum { OPTIONS_MOST = 32 };

struct options {
	const struct option *lists[2]; /* of the verb (or NULL), global */
	const struct option *given[OPTIONS_MOST];
	const char *values[OPTIONS_MOST]; /* "" for a flag */
	int count;
	const char **arguments; /* owned, the rest in order */
	int argument_count;
};

/* Parses argv[0 … argc-1] against lists set before. 0, or -EINVAL with
 * `error` filled. The strings stay argv's. */
int options_parse(struct options *options, int argc, char *const *argv,
    struct error *error) __attribute__((warn_unused_result));
void options_free(struct options *options);

/* The index of the first word that is neither an option of the lists nor the
 * value of one; `argc` when there is none. */
int options_first_word(
    const struct options *options, int argc, char *const *argv);

/* The last value given, NULL when not given. */
const char *options_value(const struct options *options, const char *name);

#endif
