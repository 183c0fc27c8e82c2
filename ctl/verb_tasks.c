/* musterctl tasks */
#include "ctl/columns.h"
#include "ctl/filter.h"
#include "ctl/format.h"
#include "ctl/session.h"
#include "ctl/verb_list.h"

#define DEFAULT_LIMIT "50"

const struct option tasks_options[] = {
    {"queue", 'q', "QUEUE", "only of this queue"},
    {"kind", 'k', "KIND", "only of this kind"},
    {"state", 's', "STATE", "only in this state (ready, running, failed, …)"},
    {"flow", 'f', "ID", "only of this flow"},
    {"limit", 'n', "COUNT", "at most so many (" DEFAULT_LIMIT ")"},
    {0},
};

const char tasks_examples[] =
    "musterctl tasks --state failed            # what went wrong\n"
    "musterctl tasks --queue reports -n 200\n"
    "musterctl tasks --flow 7 --json | jq -r '.[].error'\n";

static int
query(struct ctl *ctl, const struct filter *filter, PGresult **ret_result)
{
	struct text sql = TEXT_EMPTY;
	int code;

	text_addf(&sql,
	    "%s FROM muster.task_status%s ORDER BY id DESC LIMIT $%d::bigint",
	    task_select, text_string(&filter->sql), filter->count);
	code = session_query(
	    ctl, ret_result, text_string(&sql), filter->count, filter->values);
	text_free(&sql);
	return code;
}

int
verb_tasks(struct ctl *ctl)
{
	const char *limit = ctl_option(ctl, "limit");
	struct filter filter = {0};
	PGresult *result;
	int code;

	if (limit == NULL)
		limit = DEFAULT_LIMIT;
	if (!format_is_int(limit, 0, INT64_MAX))
		return ctl_usage(ctl, "--limit '%s' is no count", limit);
	code = filter_add_options(&filter, ctl);
	if (code == 0)
		code = session_connect(ctl);
	filter.values[filter.count++] = limit;
	if (code == 0)
		code = query(ctl, &filter, &result);
	if (code == 0) {
		table_print(ctl, task_columns, result, "no such task");
		PQclear(result);
	}
	filter_free(&filter);
	return code;
}
