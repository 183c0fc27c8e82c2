/*
 * What cancel, retry and reprioritise do to the tasks that filters let
 * through: count them, ask, request it.
 */
#ifndef CTL_BULK_H
#define CTL_BULK_H

#include "ctl/ctl.h"

/* For the options of these verbs. */
#define BULK_FILTERS                                                           \
	{"queue", 'q', "QUEUE", "of this queue"},                              \
	    {"kind", 'k', "KIND", "of this kind"},                             \
	    {"state", 's', "STATE", "in this state; several: A,B"},            \
	    {"name", 0, "NAME", "a step of this name in its flow"},            \
	    {"error", 0, "PATTERN",                                            \
		"with an error like this; % stands for anything"},             \
	    {"since", 0, "DURATION",                                           \
		"ended (open ones: created) within this time"},                \
	{                                                                      \
		"before", 0, "DURATION",                                       \
		    "ended (open ones: created) longer ago than this"          \
	}
#define BULK_HOW                                                               \
	{"dry-run", 0, NULL, "only count the tasks that filters let through"}, \
	    {"yes", 'y', NULL, "don't ask before it is done to many"},         \
	{                                                                      \
		"no-wait", 0, NULL,                                            \
		    "record the request and don't wait for the answer"         \
	}

/* Whether one of the filters above was given. */
bool bulk_given(const struct ctl *ctl);

/* An id was given: 0, or CTL_USAGE after telling that this leaves nothing to
 * filter or count. */
int bulk_refuse(const struct ctl *ctl) __attribute__((warn_unused_result));

/*
 * Does `verb` to what the filters given, of which --flow is one, let through;
 * --dry-run: only counts; on a terminal it asks first. `states`: which are
 * meant when no --state is given, NULL: as muster.VERB_where() has it.
 * `priority`: of reprioritise, otherwise NULL. An exit code.
 */
int bulk_run(struct ctl *ctl, const char *verb, const char *states,
    const char *priority) __attribute__((warn_unused_result));

#endif
