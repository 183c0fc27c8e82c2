#include "ctl/check_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/redis_link.h"
#include "ctl/schema.h"
#include "ctl/session.h"
#include "ctl/settings.h"
#include "common/config.h"
#include "common/redis.h"

enum { REDIS_LIMIT_MS = 3000, INVARIANTS_LIMIT_MS = 600000, VIOLATIONS = 100 };

int
check_add(struct check_report *report, int code, const char *what,
    const char *format, ...)
{
	struct text clean = TEXT_EMPTY;
	char *detail = NULL;
	va_list arguments;

	if (report->count == CHECK_MOST)
		return code;
	va_start(arguments, format);
	if (vasprintf(&detail, format, arguments) < 0)
		abort();
	va_end(arguments);
	text_add_escaped(&clean, detail, strlen(detail));
	free(detail);
	report->items[report->count++] = (struct check_item){
	    .what = what, .detail = text_steal(&clean), .code = code};
	return code;
}

static int
check_configuration(struct ctl *ctl, struct check_report *report)
{
	const char *file = settings_file(ctl);

	if (ctl_option(ctl, "database") != NULL && access(file, F_OK) < 0)
		return 0;
	if (settings_load(ctl) != 0)
		return check_add(report, CTL_CONFIG, "configuration",
		    "%s is wrong, see above", file);
	return check_add(report, 0, "configuration",
	    "%s, %zu queues, %zu handlers", file, ctl->config->queue_count,
	    ctl->config->handler_count);
}

/* Whether the connection's role may do a daemon's work. */
static int
check_rights(struct ctl *ctl, struct check_report *report)
{
	static const char sql[] =
	    "SELECT pg_has_role('muster_worker', 'USAGE'), current_user";
	PGresult *result;
	int code = session_query(ctl, &result, sql, 0, NULL);

	if (code != 0)
		return check_add(report, code, "rights", "see above");
	if (*PQgetvalue(result, 0, 0) == 't')
		check_add(report, 0, "rights", "%s is a muster_worker",
		    PQgetvalue(result, 0, 1));
	else
		code = check_add(report, CTL_CONFIG, "rights",
		    "%s is no muster_worker: GRANT muster_worker TO it",
		    PQgetvalue(result, 0, 1));
	PQclear(result);
	return code;
}

static int
check_database(struct ctl *ctl, struct check_report *report)
{
	int code = session_connect_bare(ctl);

	if (code != 0)
		return check_add(report, code, "database", "see above");
	check_add(report, 0, "database", "%s, PostgreSQL %s, as %s",
	    PQdb(ctl->pg), PQparameterStatus(ctl->pg, "server_version"),
	    PQuser(ctl->pg));
	code = schema_check(ctl);
	if (code != 0)
		return check_add(report, code, "schema", "see above");
	check_add(report, 0, "schema", "version %d", schema_known_version());
	return check_rights(ctl, report);
}

static int
check_redis(struct ctl *ctl, struct check_report *report)
{
	struct redis_address address;
	struct error error;
	redisContext *redis;
	char wrong[256];
	int code = 0;

	if (ctl->config == NULL || ctl->config->redis == NULL)
		return ctl->config == NULL ? 0
					   : check_add(report, 0, "redis",
						 "none configured: no events, "
						 "slower rescue of hosts");
	if (redis_address_parse(ctl->config->redis, &address, &error) < 0)
		return check_add(report, CTL_CONFIG, "redis", "%s", error.text);
	redis = redis_link_open(&address, REDIS_LIMIT_MS, wrong, sizeof(wrong));
	if (redis == NULL)
		code = check_add(report, CTL_AGAIN, "redis", "%s", wrong);
	else
		check_add(report, 0, "redis", "answers");
	if (redis != NULL)
		redisFree(redis);
	redis_address_free(&address);
	return code;
}

static int
check_invariants(struct ctl *ctl, struct check_report *report)
{
	static const char sql[] = "SELECT invariant, task_id, detail"
				  " FROM muster.check_invariants() LIMIT 100";
	PGresult *rows;
	int code;

	ctl->limit_ms = ctl_limit_ms(ctl, INVARIANTS_LIMIT_MS);
	code = session_query(ctl, &rows, sql, 0, NULL);
	if (code != 0)
		return check_add(report, code, "invariants", "see above");
	if (PQntuples(rows) == 0)
		check_add(report, 0, "invariants", "all hold");
	for (int row = 0; row < PQntuples(rows); row++)
		code = check_add(report, CTL_FAILED, "invariants",
		    "invariant %s, task %s: %s", PQgetvalue(rows, row, 0),
		    PQgetvalue(rows, row, 1), PQgetvalue(rows, row, 2));
	PQclear(rows);
	return code;
}

static void
keep_first(int *first, int code)
{
	if (*first == 0)
		*first = code;
}

int
check_all(struct ctl *ctl, bool invariants, struct check_report *ret_report)
{
	int first = check_configuration(ctl, ret_report);
	int database;

	if (first != 0 && ctl_option(ctl, "database") == NULL)
		return first;
	database = check_database(ctl, ret_report);
	keep_first(&first, database);
	keep_first(&first, check_redis(ctl, ret_report));
	keep_first(&first, check_handlers(ctl, ret_report));
	if (invariants && database == 0)
		keep_first(&first, check_invariants(ctl, ret_report));
	return first;
}

void
check_free(struct check_report *report)
{
	for (size_t i = 0; i < report->count; i++)
		free(report->items[i].detail);
	report->count = 0;
}
