/* musterctl why */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/format.h"
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
    {0},
};

enum { INDENT_MOST = 20 };

static void
print_people(const PGresult *rows)
{
	struct text line = TEXT_EMPTY;

	for (int row = 0; row < PQntuples(rows); row++) {
		int depth =
		    (int)strtol(session_value(rows, row, "depth"), NULL, 10);
		const char *reason = session_value(rows, row, "reason");

		text_clear(&line);
		text_add_escaped(&line, reason, strlen(reason));
		printf("%*s%s%s\n",
		    2 * (depth > INDENT_MOST ? INDENT_MOST : depth), "",
		    depth > 0 ? "↳ " : "", text_string(&line));
	}
	text_free(&line);
}

static bool
is_absent(const PGresult *rows)
{
	static const char words[] = "there is no task ";

	return PQntuples(rows) == 0 || strncmp(session_value(rows, 0, "reason"),
					   words, sizeof(words) - 1) == 0;
}

int
verb_why(struct ctl *ctl)
{
	static const char sql[] =
	    "SELECT depth, reason, task_id FROM muster.why($1::bigint)";
	const char *values[] = {ctl_argument(ctl, 0)};
	PGresult *rows;
	int64_t id;
	int code = format_id_argument(ctl, &id);

	if (code == 0)
		code = session_connect(ctl);
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
