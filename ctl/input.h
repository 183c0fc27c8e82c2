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

/* Standard input, of which no more than `limit` bytes (at most INPUT_LIMIT)
 * and a little are kept. 0 with its size in `ret_size`; -EFBIG with the size
 * too: it is over the limit; above INPUT_LIMIT it was not read to its end.
 * Other -errno: it cannot be read. */
int input_read_limited(size_t limit, struct text *ret_text, size_t *ret_size)
    __attribute__((warn_unused_result));

#endif
