#include "ctl/state.h"

#include <string.h>

static const struct {
	const char *name, *mark;
} states[STATES] = {
    [STATE_UNKNOWN] = {"unknown", "?"},
    [STATE_ARRIVING] = {"arriving", "·"},
    [STATE_BLOCKED] = {"blocked", "·"},
    [STATE_SCHEDULED] = {"scheduled", "◷"},
    [STATE_WAITING] = {"waiting", "◷"},
    [STATE_READY] = {"ready", "○"},
    [STATE_RUNNING] = {"running", "▶"},
    [STATE_SUCCEEDED] = {"succeeded", "✔"},
    [STATE_FAILED] = {"failed", "✘"},
    [STATE_CANCELLED] = {"cancelled", "⊘"},
    [STATE_SKIPPED] = {"skipped", "⊘"},
};

const char *
state_name(enum task_state state)
{
	return states[state].name;
}

enum task_state
state_parse(const char *name)
{
	for (int i = STATE_ARRIVING; i < STATES; i++)
		if (strcmp(states[i].name, name) == 0)
			return (enum task_state)i;
	return STATE_UNKNOWN;
}

bool
state_is_final(enum task_state state)
{
	return state >= STATE_SUCCEEDED;
}

const char *
state_mark(enum task_state state)
{
	return states[state].mark;
}
