/* musterctl retry */
#include "ctl/filter.h"
#include "ctl/format.h"
#include "ctl/request.h"
#include "ctl/session.h"
#include "ctl/verb_list.h"

#define MOST "10000"

const struct option retry_options[] = {
    {"failed", 0, NULL, "every failed task that the filters let through"},
    {"flow", 'f', "ID",
	"what failed in this flow, what that or its stop kept from running;"
	" with other options, tasks of it"},
    {"queue", 'q', "QUEUE", "of this queue"},
    {"kind", 'k', "KIND", "of this kind"},
    {"no-wait", 0, NULL, "record the request and don't wait for the answer"},
    {0},
};

const char retry_examples[] =
    "musterctl retry 42\n"
    "musterctl retry --flow 7                # so that it can end well\n"
    "musterctl retry --failed --flow 7       # nothing that was cancelled\n"
    "musterctl retry --failed --kind resize  # at most " MOST " at a time\n";

static int
retry_one(struct ctl *ctl)
{
	const char *values[] = {ctl_argument(ctl, 0)};
	int64_t id;
	int code = format_id_argument(ctl, &id);

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

static int
retry_many(struct ctl *ctl)
{
	struct filter filter = {0};
	struct text sql = TEXT_EMPTY;
	int code;

	filter_add(&filter, "state = ANY($::text[])",
	    ctl_option(ctl, "failed") != NULL ? "{failed}"
					      : "{failed,cancelled}");
	code = filter_add_options(&filter, ctl);
	if (code == 0)
		code = session_connect(ctl);
	text_addf(&sql,
	    "SELECT muster.retry(id), id::text FROM (SELECT id"
	    " FROM muster.task_status%s ORDER BY id LIMIT " MOST ") AS t",
	    text_string(&filter.sql));
	if (code == 0)
		code = request_make(ctl, "task", text_string(&sql),
		    filter.count, filter.values);
	text_free(&sql);
	filter_free(&filter);
	return code;
}

int
verb_retry(struct ctl *ctl)
{
	bool many = ctl_option(ctl, "failed") != NULL ||
		    ctl_option(ctl, "flow") != NULL;

	if (many == (ctl_argument(ctl, 0) != NULL))
		return ctl_usage(
		    ctl, "give the id of a task, --flow ID or --failed");
	if (!many)
		return retry_one(ctl);
	return ctl_option(ctl, "failed") == NULL &&
		       ctl_option(ctl, "queue") == NULL &&
		       ctl_option(ctl, "kind") == NULL
		   ? retry_flow(ctl)
		   : retry_many(ctl);
}
