#include "ctl/filter.h"

#include <stdlib.h>

#include "ctl/format.h"
#include "ctl/state.h"

void
filter_add(struct filter *filter, const char *condition, const char *value)
{
	if (filter->count == FILTER_MOST)
		abort();
	filter->values[filter->count++] = value;
	text_add_string(&filter->sql, filter->count == 1 ? " WHERE " : " AND ");
	for (; *condition != '\0'; condition++) {
		text_add_char(&filter->sql, *condition);
		if (*condition == '$')
			text_add_int(&filter->sql, filter->count);
	}
}

int
filter_add_options(struct filter *filter, const struct ctl *ctl)
{
	const char *queue = ctl_option(ctl, "queue");
	const char *kind = ctl_option(ctl, "kind");
	const char *state = ctl_option(ctl, "state");
	const char *flow = ctl_option(ctl, "flow");
	int64_t id;

	if (state != NULL && state_parse(state) == STATE_UNKNOWN)
		return ctl_usage(ctl,
		    "'%s' is no state; there are arriving, blocked, "
		    "scheduled, waiting, ready, running, succeeded, failed, "
		    "cancelled, skipped",
		    state);
	if (flow != NULL && !format_parse_id(flow, &id))
		return ctl_usage(ctl, "'%s' is no id of a flow", flow);
	if (queue != NULL)
		filter_add(filter, "queue = $", queue);
	if (kind != NULL)
		filter_add(filter, "kind = $", kind);
	if (state != NULL)
		filter_add(filter, "state = $", state);
	if (flow != NULL)
		filter_add(filter, "flow_id = $::bigint", flow);
	return 0;
}

void
filter_free(struct filter *filter)
{
	text_free(&filter->sql);
}
