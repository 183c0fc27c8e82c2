/* The state of everything, for systemd, for musterctl and for the log. */
#ifndef SUPERVISOR_STATUS_H
#define SUPERVISOR_STATUS_H

#include "common/text.h"

struct supervisor;

/* One line for people (STATUS=). */
void status_sentence(struct supervisor *supervisor, struct text *ret_text);
/* The answer to `status`. */
void status_json(struct supervisor *supervisor, struct text *ret_json);
/* Children and running tasks with their age, into the log; children are asked
 * to add theirs. */
void status_log(struct supervisor *supervisor);

#endif
