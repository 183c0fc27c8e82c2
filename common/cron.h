/*
 * The syntax of cron expressions, for the check of the configuration. What
 * they mean is known to the database alone (sql/functions/cron.sql), which
 * takes and refuses the same ones.
 */
#ifndef COMMON_CRON_H
#define COMMON_CRON_H

#include <stdbool.h>

#include "common/error.h"

/* Whether it is one; if not, `error` says why, without a place. */
bool cron_check(const char *cron, struct error *error);

#endif
