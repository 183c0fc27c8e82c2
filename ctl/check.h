/* Whether everything that a daemon needs is there. */
#ifndef CTL_CHECK_H
#define CTL_CHECK_H

#include "ctl/ctl.h"

struct check_item {
	const char *what;
	char *detail; /* owned; control characters escaped */
	int code;     /* 0: right */
};

enum { CHECK_MOST = 300 };

struct check_report {
	struct check_item items[CHECK_MOST];
	size_t count;
};

/* Returns the exit code: the first one that is not 0. */
int check_all(
    struct ctl *ctl, bool invariants, struct check_report *ret_report);
void check_free(struct check_report *report);

#endif
