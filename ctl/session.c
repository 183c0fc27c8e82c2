#include "ctl/session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/interrupt.h"
#include "ctl/schema.h"
#include "ctl/service_user.h"
#include "ctl/settings.h"
#include "ctl/waiting.h"
#include "common/clock.h"
#include "common/text.h"

enum { CANCEL_TRIES = 40, CANCEL_PAUSE_MS = 50 };

static void
ignore_notice(void *argument, const PGresult *result)
{
	(void)argument;
	(void)result;
}

int
session_conninfo(struct ctl *ctl, const char **ret_conninfo)
{
	*ret_conninfo = ctl_option(ctl, "database");
	return *ret_conninfo != NULL ? 0 : settings_database(ctl, ret_conninfo);
}

/* What the string leaves open has defaults: a limit, a name. */
static void
list_parameters(
    const char *conninfo, const char *keywords[5], const char *values[5])
{
	keywords[0] = "connect_timeout";
	values[0] = "10";
	keywords[1] = "fallback_application_name";
	values[1] = "musterctl";
	keywords[2] = "dbname";
	values[2] = conninfo;
	keywords[3] = "client_encoding";
	values[3] = "UTF8";
	keywords[4] = NULL;
	values[4] = NULL;
}

/* libpq's message without the lines that only ask questions, on one line. */
static void
add_reason(struct text *text, const char *message)
{
	while (*message != '\0') {
		size_t length = strcspn(message, "\n");

		if (*message != '\t' && length > 0) {
			text_add_string(text, text->length > 0 ? "; " : "");
			text_add(text, message, length);
		}
		message += length + (message[length] == '\n');
	}
}

/* A server that answers and will not have us is a matter of configuration. */
static int
connect_failure(
    struct ctl *ctl, const char *const *keywords, const char *const *values)
{
	PGPing ping = PQpingParams(keywords, values, 1);
	bool answers = ping == PQPING_OK || ping == PQPING_NO_ATTEMPT;
	struct text reason = TEXT_EMPTY;

	add_reason(&reason, PQerrorMessage(ctl->pg));
	ctl_fail(CTL_AGAIN, "cannot connect to the database: %s%s",
	    text_string(&reason),
	    answers ? "" : "\nis PostgreSQL running? try again when it is");
	text_free(&reason);
	return answers ? CTL_CONFIG : CTL_AGAIN;
}

/* Compiling a query takes longer here than it ever saves. */
static int
prepare(struct ctl *ctl)
{
	PQsetNoticeReceiver(ctl->pg, ignore_notice, NULL);
	PQsetnonblocking(ctl->pg, 1);
	return session_script(ctl, "SET jit = off");
}

static void
connect_now(
    struct ctl *ctl, const char *const *keywords, const char *const *values)
{
	ctl->pg = PQconnectdbParams(keywords, values, 1);
	if (ctl->pg == NULL)
		abort();
}

/* The server answers and does not know the service user: root's own password
 * file or keys may serve. What the service user was told stands otherwise. */
static void
connect_as_root(struct ctl *ctl, struct service_user *user,
    const char *const *keywords, const char *const *values)
{
	PGconn *first = ctl->pg;

	service_user_return(user);
	connect_now(ctl, keywords, values);
	if (PQstatus(ctl->pg) != CONNECTION_OK) {
		PQfinish(ctl->pg);
		ctl->pg = first;
	} else {
		PQfinish(first);
	}
}

int
session_connect_bare(struct ctl *ctl)
{
	const char *keywords[5], *values[5], *conninfo;
	struct service_user user;
	int code = session_conninfo(ctl, &conninfo);

	if (code != 0)
		return code;
	list_parameters(conninfo, keywords, values);
	service_user_become(&user, conninfo);
	connect_now(ctl, keywords, values);
	if (PQstatus(ctl->pg) != CONNECTION_OK && user.changed &&
	    PQpingParams(keywords, values, 1) == PQPING_OK)
		connect_as_root(ctl, &user, keywords, values);
	if (PQstatus(ctl->pg) != CONNECTION_OK)
		code = connect_failure(ctl, keywords, values);
	service_user_return(&user);
	return code == 0 ? prepare(ctl) : code;
}

int
session_connect(struct ctl *ctl)
{
	int code = session_connect_bare(ctl);

	return code != 0 ? code : schema_check(ctl);
}

/* Waits for the socket, at most a second; false: there is no more time. */
static bool
wait_for_server(struct ctl *ctl, struct mono until, bool writing)
{
	int64_t left = mono_ms_between(mono_now(), until);
	struct pollfd socket = {
	    .fd = PQsocket(ctl->pg),
	    .events = (short)(POLLIN | (writing ? POLLOUT : 0)),
	};

	if (left <= 0 || socket.fd < 0)
		return false;
	if (poll(&socket, 1, left > 1000 ? 1000 : (int)left) < 0 &&
	    errno != EINTR)
		return false;
	return true;
}

/* Sends what is queued and reads until an answer stands whole in memory. */
static bool
await_answer(struct ctl *ctl, struct mono since)
{
	struct mono until = mono_add_ms(since, ctl_limit_ms(ctl, CTL_LIMIT_MS));

	for (;;) {
		int left = PQflush(ctl->pg);

		if (left < 0)
			return true; /* the answer says why */
		if (left == 0 && !PQisBusy(ctl->pg))
			return true;
		if (!wait_for_server(ctl, until, left > 0))
			return false;
		waiting_show(since);
		if (!PQconsumeInput(ctl->pg))
			return true;
	}
}

/* PQcancel may block for ever on a server that hangs, so a child does it. */
static void
cancel_statement(struct ctl *ctl)
{
	PGcancel *cancel = PQgetCancel(ctl->pg);
	char ignored[256];
	pid_t child = cancel != NULL ? fork() : -1;

	if (child == 0) {
		(void)PQcancel(cancel, ignored, sizeof(ignored));
		_exit(0);
	}
	for (int i = 0; child > 0 && i < CANCEL_TRIES; i++) {
		if (waitpid(child, NULL, WNOHANG) != 0)
			child = -1;
		else
			(void)interrupt_wait_ms(CANCEL_PAUSE_MS);
	}
	if (child > 0) {
		kill(child, SIGKILL);
		(void)waitpid(child, NULL, 0);
	}
	PQfreeCancel(cancel);
}

static bool
is_failed(const PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	return status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK;
}

/* The last answer, or the failed one; NULL: none came in time. */
static PGresult *
collect(struct ctl *ctl)
{
	PGresult *kept = NULL, *result;

	for (;;) {
		bool answered = await_answer(ctl, mono_now());

		waiting_end();
		if (!answered) {
			cancel_statement(ctl);
			PQclear(kept);
			return NULL;
		}
		result = PQgetResult(ctl->pg);
		if (result == NULL)
			return kept;
		if (kept != NULL && is_failed(kept)) {
			PQclear(result);
			continue;
		}
		PQclear(kept);
		kept = result;
	}
}

PGresult *
session_try(
    struct ctl *ctl, const char *sql, int count, const char *const *values)
{
	if (!PQsendQueryParams(
		ctl->pg, sql, count, NULL, values, NULL, NULL, 0))
		return NULL;
	return collect(ctl);
}

int
session_query(struct ctl *ctl, PGresult **ret_result, const char *sql,
    int count, const char *const *values)
{
	PGresult *result = session_try(ctl, sql, count, values);
	int code;

	if (result != NULL && !is_failed(result)) {
		*ret_result = result;
		return 0;
	}
	code = session_failure(ctl, result);
	PQclear(result);
	return code;
}

int
session_script(struct ctl *ctl, const char *sql)
{
	PGresult *result = NULL;
	int code = 0;

	if (PQsendQuery(ctl->pg, sql))
		result = collect(ctl);
	if (result == NULL ||
	    (is_failed(result) && PQresultStatus(result) != PGRES_EMPTY_QUERY))
		code = session_failure(ctl, result);
	PQclear(result);
	return code;
}

const char *
session_value(const PGresult *result, int row, const char *column)
{
	int number = PQfnumber(result, column);

	return number < 0 ? "" : PQgetvalue(result, row, number);
}

void
session_disconnect(struct ctl *ctl)
{
	PQfinish(ctl->pg);
	ctl->pg = NULL;
}
