/*
 * Durations and sizes as people write them: "500ms", "30s", "1h30m", "7d";
 * "512M", "64k". Whole numbers only; units of a sum go from great to small.
 */
#ifndef COMMON_DURATION_H
#define COMMON_DURATION_H

#include <stdint.h>

#include "common/text.h"

/* Units ms, s, m, h, d, w; a number needs one. Returns 0; -EINVAL: not a
 * duration; -ERANGE: greater than 2^53 ms. */
int duration_parse(const char *string, int64_t *ret_ms)
    __attribute__((warn_unused_result));

/* In the fewest units, so that duration_parse gives `ms` again; `ms` >= 0. */
void duration_format(int64_t ms, struct text *ret_text);

/* Units k, M, G, T (powers of 1024; K too), none: bytes. As above. */
int size_parse(const char *string, int64_t *ret_bytes)
    __attribute__((warn_unused_result));

/* In the greatest unit that divides it. */
void size_format(int64_t bytes, struct text *ret_text);

#endif
