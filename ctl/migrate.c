#include "ctl/migrate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/roles.h"
#include "ctl/schema.h"
#include "ctl/session.h"
#include "sql/embedded.h"

/* Any number that nobody else takes: "muster" in ASCII. */
#define LOCK_KEY "120282428630386"

enum { LIMIT_MS = 600000 };

static const char begin[] = "BEGIN;\n"
			    "SET LOCAL lock_timeout = '60s';\n"
			    "SET LOCAL client_min_messages = warning;\n"
			    "SET LOCAL search_path = pg_catalog, pg_temp;\n";

/* The schema_version table is the one thing that a migration may count on. */
static const char foundation[] =
    "DO $do$ BEGIN IF to_regnamespace('muster') IS NULL THEN\n"
    "\tCREATE SCHEMA muster AUTHORIZATION muster_owner;\n"
    "END IF; END $do$;\n"
    "SET LOCAL ROLE muster_owner;\n"
    "CREATE TABLE IF NOT EXISTS muster.schema_version (\n"
    "\tversion int NOT NULL,\n"
    "\tcompatible_from int NOT NULL,\n"
    "\tcontent_hash text NOT NULL,\n"
    "\tapplied_at timestamptz NOT NULL DEFAULT now()\n"
    ");\n";

static int
number_of(const struct sql_file *file)
{
	return (int)strtol(file->name, NULL, 10);
}

/* What stands there, before anything is changed. */
static int
read_version(struct ctl *ctl, int *ret_version, bool *ret_same)
{
	static const char sql[] =
	    "SELECT version, content_hash = $1 AS same"
	    " FROM muster.schema_version ORDER BY version DESC LIMIT 1";
	const char *values[] = {sql_content_hash};
	PGresult *result;
	int code = session_query(ctl, &result, sql, 1, values);

	if (code != 0)
		return code;
	*ret_version = 0;
	*ret_same = false;
	if (PQntuples(result) > 0) {
		*ret_version = (int)strtol(PQgetvalue(result, 0, 0), NULL, 10);
		*ret_same = *PQgetvalue(result, 0, 1) == 't';
	}
	PQclear(result);
	if (*ret_version > schema_known_version())
		return ctl_fail(CTL_CONFIG,
		    "the schema is of version %d, this musterctl knows %d: "
		    "install the newer musterd; nothing was changed",
		    *ret_version, schema_known_version());
	return 0;
}

static int
run_file(struct ctl *ctl, const char *name, const char *text)
{
	int code = session_script(ctl, text);

	return code == 0 ? 0
			 : ctl_fail(code, "in %s; nothing was changed", name);
}

static int
apply_migrations(struct ctl *ctl, struct migrate_report *report)
{
	int code = 0;

	for (size_t i = 0; i < sql_migration_count && code == 0; i++) {
		const struct sql_file *file = &sql_migrations[i];

		if (number_of(file) <= report->version_before)
			continue;
		code = run_file(ctl, file->name, file->text);
		report->applied++;
	}
	return code;
}

static int
replace_functions(struct ctl *ctl)
{
	int code = 0;

	for (size_t i = 0; i < sql_function_count && code == 0; i++)
		code =
		    run_file(ctl, sql_functions[i].name, sql_functions[i].text);
	return code;
}

/* The row of this version; compatible_from is what the migration said. */
static int
record_version(struct ctl *ctl)
{
	static const char sql[] =
	    "WITH gone AS (DELETE FROM muster.schema_version WHERE version = $1"
	    " RETURNING compatible_from)"
	    " INSERT INTO muster.schema_version"
	    " (version, compatible_from, content_hash)"
	    " SELECT $1, coalesce((SELECT compatible_from FROM gone), $2), $3";
	char version[16], compatible[16];
	const char *values[] = {version, compatible, sql_content_hash};
	PGresult *result;
	int code;

	snprintf(version, sizeof(version), "%d", schema_known_version());
	snprintf(compatible, sizeof(compatible), "%d", sql_compatible_from);
	code = session_query(ctl, &result, sql, 3, values);
	if (code == 0)
		PQclear(result);
	return code;
}

static int
run_steps(struct ctl *ctl, struct migrate_report *report)
{
	bool same;
	int code;

	if ((code = roles_create(ctl, &report->roles)) != 0 ||
	    (code = session_script(ctl, foundation)) != 0 ||
	    (code = read_version(ctl, &report->version_before, &same)) != 0 ||
	    (code = apply_migrations(ctl, report)) != 0)
		return code;
	report->version = schema_known_version();
	report->functions = !same;
	if (!same && (code = replace_functions(ctl)) != 0)
		return code;
	if ((code = run_file(ctl, "grants.sql", sql_grants)) != 0)
		return code;
	return same ? 0 : record_version(ctl);
}

int
migrate_run(struct ctl *ctl, struct migrate_report *report)
{
	int code;

	ctl->limit_ms = ctl_limit_ms(ctl, LIMIT_MS);
	code = session_script(ctl, begin);
	if (code == 0)
		code = session_script(
		    ctl, "SELECT pg_advisory_xact_lock(" LOCK_KEY ")");
	if (code == 0)
		code = run_steps(ctl, report);
	if (code == 0 && ctl_option(ctl, "login") != NULL)
		code = session_script(ctl, "RESET ROLE");
	if (code == 0 && ctl_option(ctl, "login") != NULL)
		code = roles_create_login(ctl, ctl_option(ctl, "login"));
	return code == 0 ? session_script(ctl, "COMMIT") : code;
}

void
migrate_sql(struct text *ret_sql)
{
	text_add_string(ret_sql, begin);
	roles_sql(ret_sql);
	text_add_string(ret_sql, foundation);
	for (size_t i = 0; i < sql_migration_count; i++)
		text_addf(ret_sql, "-- %s\n%s", sql_migrations[i].name,
		    sql_migrations[i].text);
	for (size_t i = 0; i < sql_function_count; i++)
		text_addf(ret_sql, "-- %s\n%s", sql_functions[i].name,
		    sql_functions[i].text);
	text_addf(ret_sql,
	    "-- grants.sql\n%s"
	    "INSERT INTO muster.schema_version"
	    " (version, compatible_from, content_hash)"
	    " VALUES (%d, %d, '%s');\nCOMMIT;\n",
	    sql_grants, schema_known_version(), sql_compatible_from,
	    sql_content_hash);
}
