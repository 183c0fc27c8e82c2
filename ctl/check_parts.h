/* The inside of check.h, shared by ctl/check*.c alone. */
#ifndef CTL_CHECK_PARTS_H
#define CTL_CHECK_PARTS_H

#include "common/config.h"
#include "ctl/check.h"

/* Adds an item; returns `code`. */
int check_add(struct check_report *report, int code, const char *what,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Whether what each handler needs is there: the code of the first that is
 * wrong. */
int check_handlers(struct ctl *ctl, struct check_report *report);
/* Connects, with TLS where the URL says so, and sends no request. */
int check_http(
    struct check_report *report, const struct handler_config *handler);
/* Loads the shared object in a process of its own. */
int check_plugin(
    struct check_report *report, const struct handler_config *handler);

#endif
