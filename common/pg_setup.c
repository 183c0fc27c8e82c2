/* From an open socket to a session as we want it, on a server that is fit. */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/pg_internal.h"

/*
 * Of the server: whether it is a standby, whether it takes no writes, its
 * timeline (pg_control_checkpoint() is stale just after a promotion), the
 * identity of its cluster, and the process that answers. One statement, so that
 * the answers belong together.
 */
#define FACTS                                                                  \
	"SELECT pg_is_in_recovery(),"                                          \
	" current_setting('transaction_read_only')::boolean,"                  \
	" CASE WHEN pg_is_in_recovery() THEN NULL ELSE"                        \
	" ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))"             \
	"::bit(32)::bigint END,"                                               \
	" (SELECT system_identifier FROM pg_control_system()),"                \
	" pg_backend_pid()"

enum {
	FACT_STANDBY,
	FACT_READ_ONLY,
	FACT_TIMELINE,
	FACT_SYSTEM,
	FACT_BACKEND,
	FACTS_COUNT
};

/* Short statements must not wait for a compiler: jit is off. What is set in a
 * pooler's session would stay there for others, and not for us. */
static void
setup_text(struct pg *pg, struct text *sql)
{
	if (!pg->pooled)
		text_addf(sql,
		    "SET default_transaction_isolation = 'read committed';"
		    "SET client_min_messages = warning;"
		    "SET jit = off;"
		    "SET statement_timeout = %lld;",
		    (long long)pg->statement_limit_ms);
	if (pg->listen != NULL) {
		char *name = PQescapeIdentifier(
		    pg->conn, pg->listen, strlen(pg->listen));
		if (name != NULL)
			text_addf(sql, "LISTEN %s;", name);
		PQfreemem(name);
	}
	text_add_string(sql, FACTS);
}

static void
send_setup(struct pg *pg)
{
	struct text sql = TEXT_EMPTY;
	pg_set_state(pg, PG_SETTING_UP);
	pg_set_timer(pg, pg->connect_timeout_ms);
	setup_text(pg, &sql);
	int sent = PQsendQuery(pg->conn, text_string(&sql));
	text_free(&sql);
	/* A kilobyte fits into the socket of a new connection; should it not,
	 * the time limit ends it. */
	if (!sent || PQflush(pg->conn) < 0 || !pg_watch_session(pg))
		pg_connect_failed(pg, pg_connection_error(pg));
}

static const char *
unfit(const struct pg *pg, const PGresult *facts)
{
	if (pg->info->any_session)
		return NULL;
	if (strcmp(PQgetvalue(facts, 0, FACT_STANDBY), "t") == 0)
		return "the server is a standby";
	if (strcmp(PQgetvalue(facts, 0, FACT_READ_ONLY), "t") == 0)
		return "the database is read-only";
	return NULL;
}

/* A former primary that came back after its standby was promoted would take
 * writes that nobody will ever see. */
static bool
timeline_fits(struct pg *pg, const PGresult *facts)
{
	const char *system = PQgetvalue(facts, 0, FACT_SYSTEM);
	uint32_t timeline =
	    (uint32_t)strtoul(PQgetvalue(facts, 0, FACT_TIMELINE), NULL, 10);
	if (timeline == 0)
		return true;
	if (strcmp(system, pg->system) == 0 && timeline < pg->timeline)
		return false;
	pg->timeline = timeline;
	snprintf(pg->system, sizeof pg->system, "%s", system);
	return true;
}

static void
session_is_ready(struct pg *pg, const PGresult *facts)
{
	const char *reason = unfit(pg, facts);
	if (reason != NULL) {
		pg_connect_failed(pg, reason);
		return;
	}
	if (!timeline_fits(pg, facts)) {
		char text[160];
		snprintf(text, sizeof text,
		    "the server is on timeline %s, and %u was seen before: "
		    "is it a former primary?",
		    PQgetvalue(facts, 0, FACT_TIMELINE), pg->timeline);
		pg_connect_failed(pg, text);
		return;
	}
	pg->through_pooler = strtol(PQgetvalue(facts, 0, FACT_BACKEND), NULL,
				 10) != PQbackendPID(pg->conn);
	pg_set_state(pg, PG_READY);
	pg->was_ready = true;
	pg->ready_since = mono_now();
	text_clear(&pg->reasons);
	pg->callbacks.on_ready(pg, pg->argument);
	pg_queue_notifies(pg);
}

/* Only FACTS has rows, and only an error comes before it. */
static void
setup_is_over(struct pg *pg)
{
	PGresult *facts = pg->facts;
	pg->facts = NULL;
	if (PQresultStatus(facts) == PGRES_TUPLES_OK && PQntuples(facts) == 1 &&
	    PQnfields(facts) == FACTS_COUNT)
		session_is_ready(pg, facts);
	else
		pg_connect_failed(pg, facts != NULL ? pg_message(facts)
						    : pg_connection_error(pg));
	PQclear(facts);
}

static void
read_setup(struct pg *pg)
{
	if (!PQconsumeInput(pg->conn)) {
		pg_connect_failed(pg, pg_connection_error(pg));
		return;
	}
	while (!PQisBusy(pg->conn)) {
		PGresult *result = PQgetResult(pg->conn);
		if (result == NULL) {
			setup_is_over(pg);
			return;
		}
		if (PQresultStatus(result) == PGRES_COMMAND_OK) {
			PQclear(result);
			continue;
		}
		PQclear(pg->facts);
		pg->facts = result;
	}
}

static void
wait_for(struct pg *pg, short what)
{
	if (!pg_watch_once(pg, what))
		pg_connect_failed(pg, "the event loop refuses the socket");
}

static void
poll_connect(struct pg *pg)
{
	pg_watch_stop(pg); /* the socket may become another one */
	switch (PQconnectPoll(pg->conn)) {
	case PGRES_POLLING_READING:
		wait_for(pg, EV_READ);
		break;
	case PGRES_POLLING_WRITING:
		wait_for(pg, EV_WRITE);
		break;
	case PGRES_POLLING_OK:
		send_setup(pg);
		break;
	default:
		pg_connect_failed(pg, pg_connection_error(pg));
		break;
	}
}

void
pg_setup_io(struct pg *pg)
{
	if (pg->state == PG_CONNECTING)
		poll_connect(pg);
	else
		read_setup(pg);
}
