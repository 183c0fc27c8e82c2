/* Values as a person reads them, and arguments as a person writes them. */
#ifndef CTL_FORMAT_H
#define CTL_FORMAT_H

#include <stdint.h>

#include "ctl/ctl.h"
#include "common/text.h"

/* "850ms", "1.2s", "42s", "3m20s", "2h05m", "3d04h". */
void format_ms(struct text *text, int64_t ms);
/* Microseconds since 1970 as local time, with the date unless it is today. */
void format_time(struct text *text, int64_t us);
/* The same as ISO 8601 in UTC, for programs. */
void format_time_utc(struct text *text, int64_t us);

/* An error's first line, cut where it is long; `task` shows it whole. */
void format_error(struct text *text, const char *error);

/* A positive decimal number of 63 bits; false: it is none. */
bool format_parse_id(const char *string, int64_t *ret_id);
/* The first argument as an id. 0, or CTL_USAGE after telling. */
int format_id_argument(const struct ctl *ctl, int64_t *ret_id)
    __attribute__((warn_unused_result));
/* Whether the whole string is a decimal integer from `least` to `most`. */
bool format_is_int(const char *string, int64_t least, int64_t most);

#endif
