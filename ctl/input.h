/* Files and standard input, read whole. */
#ifndef CTL_INPUT_H
#define CTL_INPUT_H

#include "common/error.h"
#include "common/text.h"

enum { INPUT_LIMIT = 512 << 20 };

/* "-" is standard input. 0, or -errno with `error` filled: it cannot be read
 * or is larger than INPUT_LIMIT. */
int input_read(const char *file, struct text *ret_text, struct error *error)
    __attribute__((warn_unused_result));

#endif
