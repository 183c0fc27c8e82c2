/* musterctl cancel, delete, pause, resume */
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

const struct option pause_options[] = {
    {"kind", 'k', "KIND", "the tasks of a kind, in whatever queue"},
    {"no-wait", 0, NULL, "record the request and don't wait for the answer"},
    {0},
};

const char cancel_examples[] =
    "musterctl cancel 42             # running or not\n"
    "musterctl cancel --flow 7\n"
    "musterctl cancel --queue reports --state ready --dry-run\n"
    "musterctl cancel --kind resize --before 1d --yes\n";
const char delete_examples[] =
    "musterctl delete 42             # as if it had been cancelled\n";
const char pause_examples[] =
    "musterctl pause reports         # nothing of it is started any more\n"
    "musterctl pause --kind resize\n";
const char resume_examples[] = "musterctl resume reports\n"
			       "musterctl resume --kind resize\n";

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

int
verb_delete(struct ctl *ctl)
{
	const char *values[] = {ctl_argument(ctl, 0)};
	int64_t id;
	int code = format_id_argument(ctl, &id);

	if (code == 0)
		code = session_connect(ctl);
	if (code != 0)
		return code;
	return request_make(ctl, "task",
	    "SELECT muster.delete($1::bigint), $1::text", 1, values);
}

/* Of the queue that was given as an argument, or of the kind by --kind. */
static int
steer(struct ctl *ctl, const char *queue_sql, const char *kind_sql)
{
	const char *queue = ctl_argument(ctl, 0);
	const char *kind = ctl_option(ctl, "kind");
	const char *values[] = {kind != NULL ? kind : queue};
	int code;

	if ((queue != NULL) == (kind != NULL))
		return ctl_usage(
		    ctl, "give the name of a queue or --kind KIND");
	code = session_connect(ctl);
	if (code != 0)
		return code;
	return request_make(ctl, kind != NULL ? "kind" : "queue",
	    kind != NULL ? kind_sql : queue_sql, 1, values);
}

int
verb_pause(struct ctl *ctl)
{
	return steer(ctl, "SELECT muster.pause($1::text), $1::text",
	    "SELECT muster.pause_kind($1::text), $1::text");
}

int
verb_resume(struct ctl *ctl)
{
	return steer(ctl, "SELECT muster.resume($1::text), $1::text",
	    "SELECT muster.resume_kind($1::text), $1::text");
}
