/* What a task tells while it runs, before the eyes of a person or a program. */
#ifndef CTL_TOLD_H
#define CTL_TOLD_H

#include "ctl/ctl.h"
#include "ctl/json.h"
#include "common/json_member.h"

enum told_type { TOLD_PROGRESS, TOLD_CHUNK, TOLD_END, TOLD_ELSE };

enum told_type told_type(struct json_value message);

/* A line, or an object with --json, for a progress or a chunk. `name` is the
 * task's. */
void told_print(const struct ctl *ctl, int64_t task, const char *name,
    struct json_value message);

/* JSON in one line, without what a terminal would obey. */
void told_add_json(struct text *text, struct json_value value);

/* "40%  page 2 of 5", escaped, of a progress. */
void told_add_progress(struct text *text, struct json_value message);
/* When it was said, microseconds since 1970; 0: it does not say. */
int64_t told_at_us(struct json_value message);
/* The member "progress" with an object, or null when there is none. */
void told_json_progress(struct json *json, const struct text *message);

#endif
