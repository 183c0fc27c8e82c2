#include "ctl/schema.h"

#include <stdlib.h>

#include "ctl/session.h"
#include "sql/embedded.h"

int
schema_known_version(void)
{
	int version = 0;

	for (size_t i = 0; i < sql_migration_count; i++) {
		int number = (int)strtol(sql_migrations[i].name, NULL, 10);

		if (number > version)
			version = number;
	}
	return version;
}

static int
judge(int version, int compatible_from)
{
	int known = schema_known_version();

	if (compatible_from > known)
		return ctl_fail(CTL_CONFIG,
		    "the schema is of version %d and needs programs that know "
		    "version %d, this musterctl knows %d: install the newer "
		    "musterd",
		    version, compatible_from, known);
	if (version < known)
		return ctl_fail(CTL_CONFIG,
		    "the schema is of version %d, this musterctl needs %d: "
		    "run musterctl migrate",
		    version, known);
	return 0;
}

int
schema_check(struct ctl *ctl)
{
	static const char sql[] =
	    "SELECT version, compatible_from FROM muster.schema_version"
	    " ORDER BY version DESC LIMIT 1";
	PGresult *result;
	int code = session_query(ctl, &result, sql, 0, NULL);

	if (code != 0)
		return code;
	if (PQntuples(result) == 0)
		code = judge(0, 0);
	else
		code = judge((int)strtol(PQgetvalue(result, 0, 0), NULL, 10),
		    (int)strtol(PQgetvalue(result, 0, 1), NULL, 10));
	PQclear(result);
	return code;
}
