/* musterctl migrate */
#include <stdio.h>

#include "ctl/json.h"
#include "ctl/migrate.h"
#include "ctl/session.h"
#include "ctl/verb_list.h"
#include "sql/embedded.h"

const struct option migrate_options[] = {
    {"login", 0, "ROLE", "also create ROLE, which may log in, for the daemon"},
    {"print", 0, NULL, "print the SQL of a new schema and do nothing"},
    {0},
};

const char migrate_examples[] =
    "sudo -u postgres musterctl migrate --database dbname=app\n"
    "sudo -u postgres musterctl migrate --database dbname=app "
    "--login musterd\n"
    "musterctl migrate --print | psql app   # review it first\n";

static void
report_people(const struct ctl *ctl, const struct migrate_report *report)
{
	const char *login = ctl_option(ctl, "login");

	if (report->roles.length > 0)
		printf("created roles %s\n", text_string(&report->roles));
	for (size_t i = sql_migration_count - report->applied;
	     i < sql_migration_count; i++)
		printf("applied %s\n", sql_migrations[i].name);
	if (report->functions)
		printf("replaced %zu files of functions\n", sql_function_count);
	if (login != NULL)
		printf("role %s may run the daemon\n", login);
	if (report->applied == 0 && !report->functions)
		printf("nothing to do, the schema is of version %d\n",
		    report->version);
	else
		printf("the schema is of version %d now\n", report->version);
}

static void
report_json(const struct migrate_report *report)
{
	struct json json = JSON_EMPTY;

	json_begin(&json, '{');
	json_add_key(&json, "version_before");
	json_add_number(&json, report->version_before);
	json_add_key(&json, "version");
	json_add_number(&json, report->version);
	json_add_key(&json, "roles_created");
	json_add_string(&json, text_string(&report->roles));
	json_add_key(&json, "applied");
	json_begin(&json, '[');
	for (size_t i = sql_migration_count - report->applied;
	     i < sql_migration_count; i++)
		json_add_string(&json, sql_migrations[i].name);
	json_end(&json, ']');
	json_add_key(&json, "functions_replaced");
	json_add_bool(&json, report->functions);
	json_end(&json, '}');
	json_print(&json);
}

static int
print_sql(void)
{
	struct text sql = TEXT_EMPTY;

	migrate_sql(&sql);
	fputs(text_string(&sql), stdout);
	text_free(&sql);
	return CTL_DONE;
}

int
verb_migrate(struct ctl *ctl)
{
	struct migrate_report report = {0};
	int code;

	if (ctl_option(ctl, "print") != NULL)
		return print_sql();
	code = session_connect_bare(ctl);
	if (code == 0)
		code = migrate_run(ctl, &report);
	if (code == 0 && ctl_json(ctl))
		report_json(&report);
	else if (code == 0)
		report_people(ctl, &report);
	text_free(&report.roles);
	return code;
}
