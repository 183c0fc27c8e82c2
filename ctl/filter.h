/* The WHERE of a list, built from the options that were given. */
#ifndef CTL_FILTER_H
#define CTL_FILTER_H

#include "ctl/ctl.h"
#include "common/text.h"

enum { FILTER_MOST = 8 };

struct filter {
	struct text sql; /* " WHERE a = $1 AND …", or empty */
	const char *values[FILTER_MOST];
	int count;
};

/* Adds "CONDITION" with $ in it standing for the value. */
void filter_add(
    struct filter *filter, const char *condition, const char *value);
/* Adds a condition for each option of a task list that was given: --queue,
 * --kind, --state, --flow. 0, or CTL_USAGE after telling. */
int filter_add_options(struct filter *filter, const struct ctl *ctl)
    __attribute__((warn_unused_result));
void filter_free(struct filter *filter);

#endif
