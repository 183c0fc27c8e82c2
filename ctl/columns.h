/* The columns of a task, for every verb that shows tasks. */
#ifndef CTL_COLUMNS_H
#define CTL_COLUMNS_H

#include "ctl/table.h"

/* The SELECT list over muster.task_status that fits task_columns. */
extern const char task_select[];
extern const struct column task_columns[]; /* of a list */
extern const struct column task_details[]; /* of one, payload and result too */

#endif
