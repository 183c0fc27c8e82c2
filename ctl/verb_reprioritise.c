/* musterctl reprioritise */
#include "ctl/bulk.h"
#include "ctl/format.h"
#include "ctl/request.h"
#include "ctl/session.h"
#include "ctl/verb_list.h"

const struct option reprioritise_options[] = {
    {"priority", 'p', "NUMBER", "-1000 … 1000, higher goes first"},
    {"flow", 'f', "ID", "of this flow"},
    BULK_FILTERS,
    BULK_HOW,
    {0},
};

const char reprioritise_examples[] =
    "musterctl reprioritise 42 43 --priority 10\n"
    "musterctl reprioritise --queue reports --kind monthly --priority -5\n"
    "musterctl reprioritise --flow 7 --priority 100 --yes\n";

static int
list_ids(const struct ctl *ctl, struct text *ids)
{
	const char *word;
	int64_t id;

	for (int i = 0; (word = ctl_argument(ctl, i)) != NULL; i++) {
		if (!format_parse_id(word, &id))
			return ctl_usage(ctl, "'%s' is no id", word);
		text_add_char(ids, i == 0 ? '{' : ',');
		text_add_string(ids, word);
	}
	text_add_char(ids, '}');
	return 0;
}

static int
reprioritise_ids(struct ctl *ctl, const char *priority)
{
	static const char sql[] =
	    "SELECT r.id, p.total FROM muster.reprioritise($1::bigint[],"
	    " array_fill($2::int, ARRAY[cardinality($1::bigint[])])) AS r(id),"
	    " muster.request_progress(r.id) AS p";
	struct text ids = TEXT_EMPTY;
	int code = list_ids(ctl, &ids);

	if (code == 0)
		code = session_connect(ctl);
	if (code == 0)
		code = request_make(ctl, "tasks", sql, 2,
		    (const char *[]){text_string(&ids), priority});
	text_free(&ids);
	return code;
}

int
verb_reprioritise(struct ctl *ctl)
{
	const char *priority = ctl_option(ctl, "priority");
	bool flow = ctl_option(ctl, "flow") != NULL;
	int code;

	if (priority == NULL || !format_is_int(priority, -1000, 1000))
		return ctl_usage(ctl, "give --priority from -1000 to 1000");
	if (ctl_argument(ctl, 0) == NULL) {
		if (!flow && !bulk_given(ctl))
			return ctl_usage(
			    ctl, "give ids of tasks, --flow ID or a filter");
		return bulk_run(ctl, "reprioritise", NULL, priority);
	}
	code = flow ? ctl_usage(ctl, "give ids or --flow, not both")
		    : bulk_refuse(ctl);
	return code == 0 ? reprioritise_ids(ctl, priority) : code;
}
