#include "common/pg.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "common/busy.h"
#include "common/pg_internal.h"

enum {
	BACKOFF_FIRST_MS = 50,
	BACKOFF_MAX_MS = 2000,
	STEADY_MS = 5000, /* a session this old ends the back-off */
	CONNECT_MS = 10000,
	CONNECT_SEVERAL_MS = 3000,
	STATEMENT_MS = 60000,
};

static bool
step_is_legal(enum pg_state from, enum pg_state to)
{
	switch (to) {
	case PG_WAITING:
		return from != PG_FREED;
	case PG_RESOLVING:
		return from == PG_WAITING || from == PG_RESOLVING ||
		       from == PG_CONNECTING || from == PG_SETTING_UP;
	case PG_CONNECTING:
		return from == PG_RESOLVING || from == PG_CONNECTING ||
		       from == PG_SETTING_UP;
	case PG_SETTING_UP:
		return from == PG_CONNECTING;
	case PG_READY:
		return from == PG_SETTING_UP || from == PG_BUSY;
	case PG_BUSY:
		return from == PG_READY;
	case PG_FREED:
		return true;
	}
	return false;
}

void
pg_set_state(struct pg *pg, enum pg_state state)
{
	assert(step_is_legal(pg->state, state));
	pg->state = state;
	event_del(pg->timer);
}

void
pg_set_timer(struct pg *pg, int64_t ms)
{
	struct timeval tv = {
	    .tv_sec = ms / 1000,
	    .tv_usec = ms % 1000 * 1000,
	};
	event_add(pg->timer, &tv);
}

void
pg_enter(struct pg *pg)
{
	assert(pg->magic == PG_MAGIC);
	pg->depth++;
}

static void
destroy(struct pg *pg)
{
	free(pg->listen);
	event_free(pg->timer);
	pg_conninfo_free(pg->info);
	free(pg->conninfo_error);
	text_free(&pg->reasons);
	pg->magic = 0;
	free(pg);
}

void
pg_leave(struct pg *pg)
{
	assert(pg->depth > 0);
	pg->depth--;
	if (pg->depth == 0 && pg->state == PG_FREED)
		destroy(pg);
}

/* A session that broke soon after it began does not end the back-off. */
static int64_t
next_pause(struct pg *pg)
{
	if (pg->was_ready &&
	    mono_ms_between(pg->ready_since, mono_now()) > STEADY_MS)
		backoff_reset(&pg->backoff);
	return backoff_next(&pg->backoff, backoff_random());
}

static void
lose(struct pg *pg, const char *reason, int64_t pause_ms)
{
	char *copy = strdup(reason);
	if (copy == NULL)
		abort();
	pg_enter(pg);
	pg_connect_drop(pg);
	pg_set_state(pg, PG_WAITING);
	pg_set_timer(pg, pause_ms);
	pg->was_ready = false;
	pg_queue_fail(pg);
	if (pg->state != PG_FREED)
		pg->callbacks.on_lost(pg, copy, pg->argument);
	pg_leave(pg);
	free(copy);
}

void
pg_lost(struct pg *pg, const char *reason)
{
	lose(pg, reason, next_pause(pg));
}

void
pg_reset(struct pg *pg, const char *reason)
{
	if (pg->state != PG_WAITING && pg->state != PG_FREED)
		lose(pg, reason, 0);
}

static void
on_timer(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct pg *pg = argument;
	struct busy busy = busy_enter("database timer");
	pg_enter(pg);
	switch (pg->state) {
	case PG_WAITING:
		if (pg->info != NULL)
			pg_connect_start(pg);
		else
			pg_lost(pg, pg->conninfo_error);
		break;
	case PG_RESOLVING:
	case PG_CONNECTING:
	case PG_SETTING_UP:
		pg_connect_timed_out(pg);
		break;
	case PG_BUSY:
		pg_lost(pg, pg->reasons.length > 0
				? text_string(&pg->reasons)
				: "no answer within the statement limit");
		break;
	case PG_READY:
	case PG_FREED:
		break;
	}
	pg_leave(pg);
	busy_leave(busy);
}

static void
set_limits(struct pg *pg, const struct pg_options *options)
{
	const struct pg_conninfo *info = pg->info;
	pg->statement_limit_ms = options->statement_limit_ms > 0
				     ? options->statement_limit_ms
				     : STATEMENT_MS;
	if (info != NULL && info->connect_timeout_ms > 0)
		pg->connect_timeout_ms = info->connect_timeout_ms;
	else if (options->connect_timeout_ms > 0)
		pg->connect_timeout_ms = options->connect_timeout_ms;
	else if (info != NULL && info->host_count > 1)
		pg->connect_timeout_ms = CONNECT_SEVERAL_MS;
	else
		pg->connect_timeout_ms = CONNECT_MS;
}

static void
take_conninfo(struct pg *pg, const struct pg_options *options)
{
	struct error error = {0};
	pg->info = pg_conninfo_new(
	    options->conninfo, options->application_name, &error);
	if (pg->info == NULL) {
		pg->conninfo_error = strdup(error.text);
		if (pg->conninfo_error == NULL)
			abort();
	}
}

struct pg *
pg_new(struct event_base *base, const struct pg_options *options,
    const struct pg_callbacks *callbacks, void *argument)
{
	struct pg *pg = calloc(1, sizeof *pg);
	if (pg == NULL)
		abort();
	pg->magic = PG_MAGIC;
	pg->base = base;
	pg->callbacks = *callbacks;
	pg->argument = argument;
	pg->prepare = options->prepare;
	pg->pooled = options->pooled;
	if (options->listen != NULL &&
	    (pg->listen = strdup(options->listen)) == NULL)
		abort();
	pg->backoff.first_ms = BACKOFF_FIRST_MS;
	pg->backoff.max_ms = BACKOFF_MAX_MS;
	STAILQ_INIT(&pg->line);
	pg->timer = evtimer_new(base, on_timer, pg);
	if (pg->timer == NULL)
		abort();
	take_conninfo(pg, options);
	set_limits(pg, options);
	pg_set_timer(pg, 0);
	return pg;
}

struct pg *
pg_free(struct pg *pg)
{
	if (pg == NULL || pg->state == PG_FREED)
		return NULL;
	pg_enter(pg);
	pg_connect_drop(pg);
	pg_set_state(pg, PG_FREED);
	pg_queue_fail(pg);
	pg_leave(pg);
	return NULL;
}

bool
pg_is_ready(const struct pg *pg)
{
	return pg->state == PG_READY || pg->state == PG_BUSY;
}

bool
pg_is_idle(const struct pg *pg)
{
	return pg->state == PG_READY;
}

int
pg_backend_pid(const struct pg *pg)
{
	return pg_is_ready(pg) ? PQbackendPID(pg->conn) : 0;
}

bool
pg_is_pooled(const struct pg *pg)
{
	return pg_is_ready(pg) && pg->through_pooler;
}

uint32_t
pg_timeline(const struct pg *pg)
{
	return pg->timeline;
}

const char *
pg_sqlstate(const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	return state != NULL ? state : "";
}

/* The first line, with single spaces: "FATAL:  role …" has two. */
static const char *
first_line(const char *text)
{
	static char line[512];
	size_t length = 0;
	for (; *text != '\0' && *text != '\n'; text++) {
		if (*text == ' ' && text[1] == ' ')
			continue;
		if (length < sizeof line - 1)
			line[length++] = *text;
	}
	line[length] = '\0';
	return line;
}

const char *
pg_message(const PGresult *result)
{
	const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	return first_line(text != NULL ? text : PQresultErrorMessage(result));
}

const char *
pg_connection_error(const struct pg *pg)
{
	const char *text = pg->conn != NULL ? PQerrorMessage(pg->conn) : "";
	return text[0] != '\0' ? first_line(text)
			       : "the server closed the connection";
}
