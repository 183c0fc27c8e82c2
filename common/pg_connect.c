/* One round of attempts: hosts in order, of each its addresses in order. */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/busy.h"
#include "common/log.h"
#include "common/pg_internal.h"

static void try_host(struct pg *pg);
static void try_address(struct pg *pg);

static const struct pg_host *
host_now(const struct pg *pg)
{
	return &pg->info->hosts[pg->host];
}

static void
drop_session(struct pg *pg)
{
	pg_watch_stop(pg);
	if (pg->conn != NULL)
		PQfinish(pg->conn);
	pg->conn = NULL;
	PQclear(pg->facts);
	pg->facts = NULL;
	pg->prepared_count = 0;
}

static void
drop_addresses(struct pg *pg)
{
	for (size_t i = 0; i < pg->address_count; i++)
		free(pg->addresses[i]);
	free(pg->addresses);
	pg->addresses = NULL;
	pg->address_count = pg->address = 0;
}

void
pg_connect_drop(struct pg *pg)
{
	pg->resolve = resolve_cancel(pg->resolve);
	drop_session(pg);
	drop_addresses(pg);
	text_clear(&pg->reasons);
	pg->host = 0;
}

void
pg_connect_failed(struct pg *pg, const char *reason)
{
	if (pg->reasons.length > 0)
		text_add_string(&pg->reasons, "; ");
	text_add_string(&pg->reasons, reason);
	pg->resolve = resolve_cancel(pg->resolve);
	drop_session(pg);
	pg->address++;
	if (pg->address < pg->address_count) {
		try_address(pg);
		return;
	}
	drop_addresses(pg);
	pg->host++;
	if (pg->host < pg->info->host_count)
		try_host(pg);
	else
		pg_lost(pg, text_string(&pg->reasons));
}

static const char *
doing(const struct pg *pg)
{
	return pg->state == PG_RESOLVING    ? "looking up its name"
	       : pg->state == PG_CONNECTING ? "connecting"
					    : "setting up the session";
}

void
pg_connect_timed_out(struct pg *pg)
{
	const struct pg_host *host = host_now(pg);
	char reason[256];
	snprintf(reason, sizeof reason, "no answer from %s within %lld ms (%s)",
	    host->host != NULL	     ? host->host
	    : host->hostaddr != NULL ? host->hostaddr
				     : "the server",
	    (long long)pg->connect_timeout_ms, doing(pg));
	pg_connect_failed(pg, reason);
}

static void
set(char **keywords, char **values, size_t *n, const char *keyword,
    const char *value)
{
	if (value == NULL)
		return;
	keywords[*n] = strdup(keyword);
	values[*n] = strdup(value);
	if (keywords[*n] == NULL || values[*n] == NULL)
		abort();
	++*n;
}

/* The session for this address; libpq copies what it is given. */
static PGconn *
start_session(struct pg *pg)
{
	struct pg_conninfo *info = pg->info;
	const struct pg_host *host = host_now(pg);
	const char *address =
	    pg->address_count > 0 ? pg->addresses[pg->address] : host->hostaddr;
	size_t n = info->count;
	set(info->keywords, info->values, &n, "host", host->host);
	set(info->keywords, info->values, &n, "hostaddr", address);
	set(info->keywords, info->values, &n, "port", host->port);
	info->keywords[n] = info->values[n] = NULL;
	PGconn *conn = PQconnectStartParams((const char *const *)info->keywords,
	    (const char *const *)info->values, 0);
	while (n-- > info->count) {
		free(info->keywords[n]);
		free(info->values[n]);
	}
	return conn;
}

static void
on_notice(void *argument, const PGresult *result)
{
	(void)argument;
	log_debug("postgresql: %s", pg_message(result));
}

static void
try_address(struct pg *pg)
{
	pg_set_state(pg, PG_CONNECTING);
	pg_set_timer(pg, pg->connect_timeout_ms);
	pg->conn = start_session(pg);
	if (pg->conn == NULL)
		abort();
	if (PQstatus(pg->conn) == CONNECTION_BAD) {
		pg_connect_failed(pg, pg_connection_error(pg));
		return;
	}
	PQsetnonblocking(pg->conn, 1);
	PQsetNoticeReceiver(pg->conn, on_notice, NULL);
	if (!pg_watch_once(pg, EV_WRITE))
		pg_connect_failed(pg, "the event loop refuses the socket");
}

static void
on_resolved(const char *const *addresses, size_t count, const char *reason,
    void *argument)
{
	struct pg *pg = argument;
	struct busy busy = busy_enter("database name looked up");
	pg_enter(pg);
	pg->resolve = NULL;
	if (count == 0) {
		char text[256];
		snprintf(text, sizeof text, "host '%s' not found: %s",
		    host_now(pg)->host, reason);
		pg_connect_failed(pg, text);
	} else {
		pg->addresses = calloc(count, sizeof *pg->addresses);
		if (pg->addresses == NULL)
			abort();
		for (; pg->address_count < count; pg->address_count++)
			pg->addresses[pg->address_count] =
			    strdup(addresses[pg->address_count]);
		try_address(pg);
	}
	pg_leave(pg);
	busy_leave(busy);
}

static void
try_host(struct pg *pg)
{
	const struct pg_host *host = host_now(pg);
	pg_set_state(pg, PG_RESOLVING);
	if (host->hostaddr != NULL || !resolve_needed(host->host)) {
		try_address(pg);
		return;
	}
	pg_set_timer(pg, pg->connect_timeout_ms);
	pg->resolve = resolve_start(pg->base, host->host, on_resolved, pg);
	if (pg->resolve == NULL)
		pg_connect_failed(pg, "too many name lookups hang");
}

void
pg_connect_start(struct pg *pg)
{
	text_clear(&pg->reasons);
	pg->host = 0;
	try_host(pg);
}
