/* musterctl retry */
#include "ctl/bulk.h"
#include "ctl/format.h"
#include "ctl/request.h"
#include "ctl/session.h"
#include "ctl/verb_list.h"

const struct option retry_options[] = {
    {"failed", 0, NULL, "the same as --state failed"},
    {"flow", 'f', "ID",
	"alone: what failed in this flow, and what that or its stop kept from "
	"running; with other options, tasks of it"},
    BULK_FILTERS,
    BULK_HOW,
    {0},
};

const char retry_examples[] =
    "musterctl retry 42\n"
    "musterctl retry --flow 7                # so that it can end well\n"
    "musterctl retry --failed --flow 7       # nothing that was cancelled\n"
    "musterctl retry --kind resize --since 1h\n"
    "musterctl retry --error 'timeout%' --dry-run  # how many\n";

static int
retry_one(struct ctl *ctl)
{
	const char *values[] = {ctl_argument(ctl, 0)};
	int64_t id;
	int code = format_id_argument(ctl, &id);

	if (code == 0)
		code = bulk_refuse(ctl);
	if (code == 0)
		code = session_connect(ctl);
	if (code != 0)
		return code;
	return request_make(ctl, "task",
	    "SELECT muster.retry($1::bigint), $1::text", 1, values);
}

static int
retry_flow(struct ctl *ctl)
{
	const char *values[] = {ctl_option(ctl, "flow")};
	int64_t id;
	int code;

	if (!format_parse_id(values[0], &id))
		return ctl_usage(ctl, "'%s' is no id", values[0]);
	code = session_connect(ctl);
	if (code != 0)
		return code;
	return request_make(ctl, "flow",
	    "SELECT muster.retry_flow($1::bigint), $1::text", 1, values);
}

int
verb_retry(struct ctl *ctl)
{
	bool failed = ctl_option(ctl, "failed") != NULL;
	bool flow = ctl_option(ctl, "flow") != NULL;
	bool one = ctl_argument(ctl, 0) != NULL;

	if (one && !failed && !flow)
		return retry_one(ctl);
	if (one || (!failed && !flow && !bulk_given(ctl)))
		return ctl_usage(ctl,
		    "give the id of a task, --flow ID, --failed or a filter");
	if (flow && !failed && !bulk_given(ctl) &&
	    ctl_option(ctl, "dry-run") == NULL)
		return retry_flow(ctl);
	return bulk_run(ctl, "retry", "failed", NULL);
}
