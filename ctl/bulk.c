#include "ctl/bulk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/format.h"
#include "ctl/json.h"
#include "ctl/request.h"
#include "ctl/session.h"
#include "ctl/state.h"
#include "common/duration.h"

/* The filter as SQL takes it; times are counted back from the server's now. */
#define FILTER                                                                 \
	"jsonb_strip_nulls($1::jsonb || jsonb_build_object("                   \
	"'since', now() - $2::bigint * interval '1 ms',"                       \
	" 'before', now() - $3::bigint * interval '1 ms'))"

struct bulk {
	const char *verb, *priority;
	struct json filter;
	char since[24], before[24];
	const char *values[5]; /* of the queries; the fourth is their own */
};

static const char *const plain[] = {"queue", "kind", "name", "error"};

enum { PLAIN = sizeof(plain) / sizeof(plain[0]) };

bool
bulk_given(const struct ctl *ctl)
{
	static const char *const more[] = {"state", "since", "before"};
	bool given = false;

	for (size_t i = 0; i < PLAIN; i++)
		given |= ctl_option(ctl, plain[i]) != NULL;
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
		given |= ctl_option(ctl, more[i]) != NULL;
	return given;
}

int
bulk_refuse(const struct ctl *ctl)
{
	if (bulk_given(ctl) || ctl_option(ctl, "dry-run") != NULL)
		return ctl_usage(ctl,
		    "filters and --dry-run are for many tasks, not for one "
		    "that is named");
	return 0;
}

static int
read_duration(const struct ctl *ctl, const char *option, char *ret_ms,
    size_t size, const char **ret_value)
{
	const char *string = ctl_option(ctl, option);
	int64_t ms;

	*ret_value = NULL;
	if (string == NULL)
		return 0;
	if (duration_parse(string, &ms) < 0)
		return ctl_usage(ctl,
		    "--%s '%s' is no duration such as 90s "
		    "or 1h30m",
		    option, string);
	snprintf(ret_ms, size, "%lld", (long long)ms);
	*ret_value = ret_ms;
	return 0;
}

/* "a,b" as an array; whether they suit the verb is judged by SQL. */
static int
add_states(const struct ctl *ctl, struct json *filter, const char *states)
{
	char *list = strdup(states), *rest, *one;
	int code = 0;

	if (list == NULL)
		abort();
	json_add_key(filter, "state");
	json_begin(filter, '[');
	for (one = strtok_r(list, ",", &rest); one != NULL && code == 0;
	     one = strtok_r(NULL, ",", &rest)) {
		if (state_parse(one) == STATE_UNKNOWN)
			code = ctl_usage(ctl, "'%s' is no state", one);
		json_add_string(filter, one);
	}
	json_end(filter, ']');
	free(list);
	return code;
}

static int
read_filter(const struct ctl *ctl, struct bulk *bulk, const char *states)
{
	struct json *filter = &bulk->filter;
	const char *flow = ctl_option(ctl, "flow");
	int64_t id;
	int code = 0;

	if (ctl_option(ctl, "state") != NULL)
		states = ctl_option(ctl, "state");
	json_begin(filter, '{');
	for (size_t i = 0; i < PLAIN; i++) {
		if (ctl_option(ctl, plain[i]) == NULL)
			continue;
		json_add_key(filter, plain[i]);
		json_add_string(filter, ctl_option(ctl, plain[i]));
	}
	if (flow != NULL && !format_parse_id(flow, &id))
		return ctl_usage(ctl, "'%s' is no id of a flow", flow);
	if (flow != NULL) {
		json_add_key(filter, "flow");
		json_add_number(filter, id);
	}
	if (states != NULL)
		code = add_states(ctl, filter, states);
	json_end(filter, '}');
	bulk->values[0] = text_string(&filter->text);
	if (code == 0)
		code = read_duration(ctl, "since", bulk->since,
		    sizeof(bulk->since), &bulk->values[1]);
	if (code == 0)
		code = read_duration(ctl, "before", bulk->before,
		    sizeof(bulk->before), &bulk->values[2]);
	return code;
}

static int
count_tasks(struct ctl *ctl, struct bulk *bulk, int64_t *ret_count)
{
	PGresult *result;
	int code;

	bulk->values[3] = bulk->verb;
	code = session_query(ctl, &result,
	    "SELECT muster.count_where($4::text, " FILTER ")", 4, bulk->values);
	if (code != 0)
		return code;
	*ret_count = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	PQclear(result);
	return 0;
}

static int
dry_run(struct ctl *ctl, struct bulk *bulk)
{
	struct json json = JSON_EMPTY;
	int64_t count;
	int code = count_tasks(ctl, bulk, &count);

	if (code != 0)
		return code;
	if (ctl_json(ctl)) {
		json_begin(&json, '{');
		json_add_key(&json, "tasks");
		json_add_number(&json, count);
		json_end(&json, '}');
		json_print(&json);
	} else {
		printf("%lld task%s to %s\n", (long long)count,
		    count == 1 ? "" : "s", bulk->verb);
	}
	return CTL_DONE;
}

/* 0: go on. */
static int
confirm(struct ctl *ctl, struct bulk *bulk)
{
	char answer[16] = "";
	int64_t count;
	int code;

	if (ctl_option(ctl, "yes") != NULL || !isatty(STDIN_FILENO) ||
	    !isatty(STDERR_FILENO))
		return 0;
	code = count_tasks(ctl, bulk, &count);
	if (code != 0 || count == 0)
		return code;
	fprintf(stderr, "%s %lld task%s? [y/N] ", bulk->verb, (long long)count,
	    count == 1 ? "" : "s");
	if (fgets(answer, sizeof(answer), stdin) != NULL &&
	    (*answer == 'y' || *answer == 'Y'))
		return 0;
	return ctl_fail(CTL_FAILED, "nothing was done");
}

static int
request(struct ctl *ctl, struct bulk *bulk)
{
	struct text sql = TEXT_EMPTY;
	int code;

	bulk->values[3] = bulk->priority;
	text_addf(&sql,
	    "SELECT r.id, p.total FROM muster.%s_where(" FILTER "%s) AS r(id),"
	    " muster.request_progress(r.id) AS p",
	    bulk->verb, bulk->priority != NULL ? ", $4::int" : "");
	code = request_make(ctl, "tasks", text_string(&sql),
	    bulk->priority != NULL ? 4 : 3, bulk->values);
	text_free(&sql);
	return code;
}

int
bulk_run(
    struct ctl *ctl, const char *verb, const char *states, const char *priority)
{
	struct bulk bulk = {.verb = verb, .priority = priority};
	int code = read_filter(ctl, &bulk, states);

	if (code == 0)
		code = session_connect(ctl);
	if (code == 0 && ctl_option(ctl, "dry-run") != NULL) {
		code = dry_run(ctl, &bulk);
	} else if (code == 0) {
		code = confirm(ctl, &bulk);
		if (code == 0)
			code = request(ctl, &bulk);
	}
	text_free(&bulk.filter.text);
	return code;
}
