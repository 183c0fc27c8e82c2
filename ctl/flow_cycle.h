/* Cycles in a flow. */
#ifndef CTL_FLOW_CYCLE_H
#define CTL_FLOW_CYCLE_H

#include "ctl/flow.h"

/* Whether some task waits for itself; then the path is added to `ret_path`
 * ("a → b → a", each needing the next) and `ret_task` is where it begins. Long
 * paths are shortened in their middle. */
bool flow_cycle_find(
    const struct flow *flow, struct text *ret_path, size_t *ret_task);

#endif
