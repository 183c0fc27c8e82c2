/* The states of a task. */
#ifndef CTL_STATE_H
#define CTL_STATE_H

#include <stdbool.h>

enum task_state {
	STATE_UNKNOWN,
	STATE_ARRIVING,
	STATE_BLOCKED,
	STATE_SCHEDULED,
	STATE_WAITING,
	STATE_READY,
	STATE_RUNNING,
	STATE_SUCCEEDED, /* from here on it is over */
	STATE_FAILED,
	STATE_CANCELLED,
	STATE_SKIPPED,
	STATES
};

const char *state_name(enum task_state state);
enum task_state state_parse(const char *name); /* STATE_UNKNOWN: no state */
bool state_is_final(enum task_state state);
const char *state_mark(enum task_state state); /* one column, for trees */

#endif
