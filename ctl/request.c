#include "ctl/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/interrupt.h"
#include "ctl/json.h"
#include "ctl/session.h"
#include "ctl/waiting.h"
#include "common/clock.h"

enum { WAIT_LIMIT_MS = 15000, PAUSE_MS = 50, SHOWN = 20 };

const struct option request_options[] = {
    {"no-wait", 0, NULL, "record the request and don't wait for the answer"},
    {0},
};

/* Requests on their way. */
struct requests {
	PGresult *made;	   /* owned: id, about */
	PGresult *answers; /* owned: id, done, answer, verdict, how many
			      tasks are done, of how many (null: it is for
			      one); NULL: none asked for */
	struct text ids;   /* as an array of PostgreSQL */
	const char *what;
};

static void
list_ids(struct requests *requests)
{
	text_add_char(&requests->ids, '{');
	for (int row = 0; row < PQntuples(requests->made); row++) {
		if (row > 0)
			text_add_char(&requests->ids, ',');
		text_add_string(
		    &requests->ids, PQgetvalue(requests->made, row, 0));
	}
	text_add_char(&requests->ids, '}');
}

static int
count_open(const PGresult *answers)
{
	int open = 0;

	for (int row = 0; row < PQntuples(answers); row++)
		open += *PQgetvalue(answers, row, 1) != 't';
	return open;
}

/* The sum of a column of numbers. */
static int64_t
add_up(const PGresult *answers, int column)
{
	int64_t sum = 0;

	for (int row = 0; row < PQntuples(answers); row++)
		sum += strtoll(PQgetvalue(answers, row, column), NULL, 10);
	return sum;
}

/* Until each has its answer, or nobody seems to be there to answer: nothing
 * comes forward. */
static int
poll_answers(struct ctl *ctl, struct requests *requests)
{
	static const char sql[] =
	    "SELECT i.id, s.done, s.answer, s.verdict, p.count, p.total"
	    " FROM unnest($1::bigint[]) WITH ORDINALITY AS i(id, at)"
	    " CROSS JOIN LATERAL muster.request_status(i.id) AS s"
	    " CROSS JOIN LATERAL muster.request_progress(i.id) AS p"
	    " ORDER BY i.at";
	struct mono since = mono_now(), moved = since;
	int64_t before = 0;
	const char *values[] = {text_string(&requests->ids)};

	for (;;) {
		int64_t done, total;
		int code;

		PQclear(requests->answers);
		requests->answers = NULL;
		code = session_query(ctl, &requests->answers, sql, 1, values);
		if (code != 0 || count_open(requests->answers) == 0)
			return code;
		done = add_up(requests->answers, 4);
		total = add_up(requests->answers, 5);
		if (done > before)
			moved = mono_now();
		before = done;
		if (mono_ms_between(moved, mono_now()) >= WAIT_LIMIT_MS)
			return 0;
		if (total > 0)
			waiting_show_bar(since, done, total);
		if (!interrupt_wait_ms(PAUSE_MS))
			return CTL_INTERRUPTED;
	}
}

static int
await_answers(struct ctl *ctl, struct requests *requests)
{
	int code = poll_answers(ctl, requests);

	waiting_end_bar();
	return code;
}

static const char *
about(const struct requests *requests, int row)
{
	return PQnfields(requests->made) > 1
		   ? PQgetvalue(requests->made, row, 1)
		   : "";
}

static void
print_answer(const struct requests *requests, int row)
{
	struct text line = TEXT_EMPTY;
	const char *thing = about(requests, row);
	const char *answer;

	if (requests->answers != NULL &&
	    *PQgetvalue(requests->answers, row, 1) == 't') {
		answer = PQgetvalue(requests->answers, row, 2);
		text_add_escaped(&line, answer, strlen(answer));
	} else {
		text_addf(&line, "%s ", requests->what);
		text_add_escaped(&line, thing, strlen(thing));
		text_add_string(&line, ": requested");
	}
	puts(text_string(&line));
	text_free(&line);
}

static void
print_people(const struct requests *requests)
{
	int rows = PQntuples(requests->made);

	for (int row = 0; row < rows && row < SHOWN; row++)
		print_answer(requests, row);
	if (rows > SHOWN)
		printf("and %d more\n", rows - SHOWN);
	if (rows == 0)
		printf("no such %s\n", requests->what);
}

/* Of an answer, as JSON: null for null too. */
static void
add_column(struct json *json, const PGresult *answers, int row, int column)
{
	bool null = answers == NULL || PQgetisnull(answers, row, column);

	json_add_string(json, null ? NULL : PQgetvalue(answers, row, column));
}

static void
print_json(const struct requests *requests)
{
	struct json json = JSON_EMPTY;

	json_begin(&json, '[');
	for (int row = 0; row < PQntuples(requests->made); row++) {
		const PGresult *answers = requests->answers;

		json_begin(&json, '{');
		json_add_key(&json, "request");
		json_add_string(&json, PQgetvalue(requests->made, row, 0));
		json_add_key(&json, requests->what);
		json_add_string(&json, about(requests, row));
		json_add_key(&json, "done");
		json_add_bool(&json,
		    answers != NULL && *PQgetvalue(answers, row, 1) == 't');
		json_add_key(&json, "verdict");
		add_column(&json, answers, row, 3);
		json_add_key(&json, "answer");
		add_column(&json, answers, row, 2);
		json_end(&json, '}');
	}
	json_end(&json, ']');
	json_print(&json);
}

static int
judge(const struct requests *requests)
{
	const PGresult *answers = requests->answers;

	if (answers == NULL)
		return CTL_DONE;
	if (count_open(answers) > 0)
		return ctl_fail(CTL_AGAIN,
		    "no scheduler answered within %d s; the request stands and "
		    "is carried out when a musterd runs",
		    WAIT_LIMIT_MS / 1000);
	for (int row = 0; row < PQntuples(answers); row++)
		if (strcmp(PQgetvalue(answers, row, 3), "done") != 0)
			return CTL_FAILED;
	return CTL_DONE;
}

int
request_make(struct ctl *ctl, const char *what, const char *sql, int count,
    const char *const *values)
{
	struct requests requests = {.what = what};
	int code = session_query(ctl, &requests.made, sql, count, values);

	if (code != 0)
		return code;
	list_ids(&requests);
	if (ctl_option(ctl, "no-wait") == NULL)
		code = await_answers(ctl, &requests);
	if (code == 0 && ctl_json(ctl))
		print_json(&requests);
	else if (code == 0)
		print_people(&requests);
	if (code == 0)
		code = judge(&requests);
	PQclear(requests.made);
	PQclear(requests.answers);
	text_free(&requests.ids);
	return code;
}

int
request_cancel_flow(struct ctl *ctl, int64_t flow)
{
	char id[24];
	const char *values[] = {id};
	PGresult *result;
	int code;

	snprintf(id, sizeof(id), "%lld", (long long)flow);
	code = session_query(
	    ctl, &result, "SELECT muster.cancel_flow($1::bigint)", 1, values);
	if (code == 0)
		PQclear(result);
	return code;
}
