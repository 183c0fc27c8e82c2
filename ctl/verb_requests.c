/* musterctl cancel, pause, resume */
#include "ctl/bulk.h"
#include "ctl/format.h"
#include "ctl/request.h"
#include "ctl/session.h"
#include "ctl/verb_list.h"

const struct option cancel_options[] = {
    {"flow", 'f', "ID",
	"the flow and all of it that is not over; with filters: what "
	"they let through of it"},
    BULK_FILTERS,
    BULK_HOW,
    {0},
};

const char cancel_examples[] =
    "musterctl cancel 42             # running or not\n"
    "musterctl cancel --flow 7\n"
    "musterctl cancel --queue reports --state ready --dry-run\n"
    "musterctl cancel --kind resize --before 1d --yes\n";
const char pause_examples[] =
    "musterctl pause reports         # nothing of it is started any more\n";
const char resume_examples[] = "musterctl resume reports\n";

/* The one id that was given, as an argument or by --flow. */
static int
read_target(const struct ctl *ctl, const char **ret_id)
{
	const char *flow = ctl_option(ctl, "flow");
	int64_t id;

	*ret_id = flow != NULL ? flow : ctl_argument(ctl, 0);
	if ((flow != NULL) == (ctl_argument(ctl, 0) != NULL))
		return ctl_usage(
		    ctl, "give the id of a task, --flow ID or a filter");
	if (!format_parse_id(*ret_id, &id))
		return ctl_usage(ctl, "'%s' is no id", *ret_id);
	return 0;
}

int
verb_cancel(struct ctl *ctl)
{
	bool flow = ctl_option(ctl, "flow") != NULL;
	bool dry = ctl_option(ctl, "dry-run") != NULL;
	const char *values[1];
	int code;

	if (ctl_argument(ctl, 0) == NULL && (bulk_given(ctl) || (flow && dry)))
		return bulk_run(ctl, "cancel", NULL, NULL);
	code = bulk_refuse(ctl);
	if (code == 0)
		code = read_target(ctl, values);
	if (code == 0)
		code = session_connect(ctl);
	if (code != 0)
		return code;
	return request_make(ctl, flow ? "flow" : "task",
	    flow ? "SELECT muster.cancel_flow($1::bigint), $1::text"
		 : "SELECT muster.cancel($1::bigint), $1::text",
	    1, values);
}

static int
request_queue(struct ctl *ctl, const char *sql)
{
	const char *values[] = {ctl_argument(ctl, 0)};
	int code = session_connect(ctl);

	return code == 0 ? request_make(ctl, "queue", sql, 1, values) : code;
}

int
verb_pause(struct ctl *ctl)
{
	return request_queue(ctl, "SELECT muster.pause($1::text), $1::text");
}

int
verb_resume(struct ctl *ctl)
{
	return request_queue(ctl, "SELECT muster.resume($1::text), $1::text");
}
