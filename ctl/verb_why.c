/* musterctl why */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/format.h"
#include "ctl/schema.h"
#include "ctl/session.h"
#include "ctl/table.h"
#include "ctl/terminal.h"
#include "ctl/verb_list.h"

const char why_examples[] =
    "musterctl why 42                # what it waits for, to the root cause\n";

static const struct column columns[] = {
    {"depth", NULL, COLUMN_NUMBER},
    {"reason", NULL, COLUMN_TEXT},
    {"task_id", NULL, COLUMN_ID},
    {"root", NULL, COLUMN_BOOL},
    {0},
};

enum { INDENT_MOST = 20 };

static int
depth_of(const PGresult *rows, int row)
{
	return (int)strtol(session_value(rows, row, "depth"), NULL, 10);
}

static void
print_reason(const PGresult *rows, int row)
{
	const char *reason = session_value(rows, row, "reason");
	struct text line = TEXT_EMPTY;

	text_add_escaped(&line, reason, strlen(reason));
	puts(text_string(&line));
	text_free(&line);
}

/* Last, in one line, however long what is above it is. */
static void
print_root(const PGresult *rows)
{
	for (int row = 1; row < PQntuples(rows); row++) {
		if (*session_value(rows, row, "root") != 't')
			continue;
		printf("%sroot cause:%s task %s, ", terminal_bold(),
		    terminal_plain(), session_value(rows, row, "task_id"));
		print_reason(rows, row);
	}
}

static void
print_people(const PGresult *rows)
{
	int above = -1;

	for (int row = 0; row < PQntuples(rows); row++) {
		int depth = depth_of(rows, row);
		int indent = 2 * (depth > INDENT_MOST ? INDENT_MOST : depth);

		if (depth > above + 1)
			printf("%*s… and %d more\n", indent, "",
			    depth - above - 1);
		printf("%*s%s", indent, "", depth > 0 ? "↳ " : "");
		print_reason(rows, row);
		above = depth;
	}
	print_root(rows);
}

static bool
is_absent(const PGresult *rows)
{
	static const char words[] = "there is no task ";

	return PQntuples(rows) == 0 || strncmp(session_value(rows, 0, "reason"),
					   words, sizeof(words) - 1) == 0;
}

/* A schema that this version refuses keeps every daemon of it from starting: no
 * task of any kind would run. 0: it is none. */
static int
explain_schema(struct ctl *ctl)
{
	static const char sql[] =
	    "SELECT 0 AS depth, format('the schema is of version %s and takes"
	    " only programs that know version %s: a musterd of this version,"
	    " which knows %s, refuses it and does not start; install the newer"
	    " one', version, compatible_from, $1::int) AS reason,"
	    " NULL::bigint AS task_id, true AS root"
	    " FROM (SELECT * FROM muster.schema_version"
	    " ORDER BY version DESC LIMIT 1) AS s"
	    " WHERE compatible_from > $1::int";
	char known[16];
	PGresult *rows;
	int code;

	snprintf(known, sizeof(known), "%d", schema_known_version());
	code = session_query(ctl, &rows, sql, 1, (const char *[]){known});
	if (code != 0)
		return code;
	if (PQntuples(rows) > 0) {
		code = CTL_CONFIG;
		if (ctl_json(ctl)) {
			table_print(ctl, columns, rows, "");
		} else {
			fputs("root cause: ", stdout);
			print_reason(rows, 0);
		}
	}
	PQclear(rows);
	return code == 0 ? schema_check(ctl) : code;
}

int
verb_why(struct ctl *ctl)
{
	static const char sql[] =
	    "SELECT depth, reason, task_id, root FROM muster.why($1::bigint)";
	const char *values[] = {ctl_argument(ctl, 0)};
	PGresult *rows;
	int64_t id;
	int code = format_id_argument(ctl, &id);

	if (code == 0)
		code = session_connect_bare(ctl);
	if (code == 0)
		code = explain_schema(ctl);
	if (code == 0)
		code = session_query(ctl, &rows, sql, 1, values);
	if (code != 0)
		return code;
	if (is_absent(rows))
		code = ctl_fail(
		    CTL_FAILED, "there is no task %s", ctl_argument(ctl, 0));
	else if (ctl_json(ctl))
		table_print(ctl, columns, rows, "");
	else
		print_people(rows);
	PQclear(rows);
	return code;
}
