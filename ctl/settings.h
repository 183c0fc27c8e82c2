/* What the configuration file says, read when a verb first asks. */
#ifndef CTL_SETTINGS_H
#define CTL_SETTINGS_H

#include "ctl/ctl.h"
#include "common/text.h"

/* The file in force: -c, MUSTERD_CONFIG, or the one under /etc. */
const char *settings_file(const struct ctl *ctl);

/* Loads it into ctl->config. 0, or CTL_CONFIG after its errors were told. */
int settings_load(struct ctl *ctl) __attribute__((warn_unused_result));

/* Its database. 0, or CTL_CONFIG after the reason was told. */
int settings_database(struct ctl *ctl, const char **ret_conninfo)
    __attribute__((warn_unused_result));

/* Where the daemon listens, as far as can be known: a file that is wrong or
 * may not be read does not stand in the way. CTL_CONFIG without a file, unless
 * --database is given; then where one with default settings listens. */
int settings_control_path(struct ctl *ctl, struct text *ret_path)
    __attribute__((warn_unused_result));

/* After settings_control_path: the file was refused; settings_load tells. */
bool settings_are_wrong(const struct ctl *ctl);

#endif
