#include <libpq-fe.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/check_parts.h"
#include "ctl/session.h"

static int
check_program(struct check_report *report, const char *kind, const char *file)
{
	struct stat status;

	if (stat(file, &status) < 0)
		return check_add(report, CTL_FAILED, "handler",
		    "%s: %s does not exist", kind, file);
	if (!S_ISREG(status.st_mode) || access(file, X_OK) < 0)
		return check_add(report, CTL_FAILED, "handler",
		    "%s: %s is not executable", kind, file);
	return check_add(report, 0, "handler", "%s runs %s", kind, file);
}

static int
check_function(struct ctl *ctl, struct check_report *report,
    const struct handler_config *handler)
{
	static const char sql[] =
	    "SELECT to_regprocedure($1 || '(jsonb, jsonb, "
	    "muster.task_context)')"
	    " IS NOT NULL, coalesce(to_regrole($2) IS NOT NULL, true),"
	    " $2::text IS NULL OR (to_regrole($2) IS NOT NULL"
	    " AND pg_has_role(to_regrole($2)::oid, 'MEMBER'))";
	const char *values[] = {handler->function, handler->role};
	PGresult *result;
	int code;

	if (ctl->pg == NULL || PQstatus(ctl->pg) != CONNECTION_OK)
		return 0;
	code = session_query(ctl, &result, sql, 2, values);
	if (code != 0)
		return check_add(
		    report, code, "handler", "%s: see above", handler->kind);
	if (*PQgetvalue(result, 0, 0) != 't')
		code = check_add(report, CTL_FAILED, "handler",
		    "%s: there is no function %s(jsonb, jsonb, "
		    "muster.task_context)",
		    handler->kind, handler->function);
	else if (*PQgetvalue(result, 0, 2) != 't')
		code = check_add(report, CTL_FAILED, "handler",
		    "%s: role %s is not there, or not granted to %s",
		    handler->kind, handler->role, PQuser(ctl->pg));
	else
		check_add(report, 0, "handler", "%s calls %s", handler->kind,
		    handler->function);
	PQclear(result);
	return code;
}

static int
check_handler(struct ctl *ctl, struct check_report *report,
    const struct handler_config *handler)
{
	switch (handler->type) {
	case HANDLER_EXEC:
		return check_program(report, handler->kind, handler->argv[0]);
	case HANDLER_POOL:
		return check_program(report, handler->kind, handler->pool[0]);
	case HANDLER_SQL:
		return check_function(ctl, report, handler);
	case HANDLER_HTTP:
		return check_http(report, handler);
	case HANDLER_PLUGIN:
		return check_plugin(report, handler);
	default:
		return 0;
	}
}

/* As the user who calls finds it. */
int
check_handlers(struct ctl *ctl, struct check_report *report)
{
	const struct config *config = ctl->config;
	int first = 0;

	for (size_t i = 0; config != NULL && i < config->handler_count; i++) {
		int code = check_handler(ctl, report, &config->handlers[i]);

		if (first == 0)
			first = code;
	}
	return first;
}
