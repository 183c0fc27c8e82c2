/*
 * pg_probe CONNINFO [prepare] [limit=MS] [connect=MS] [listen=CHANNEL]
 *
 *	send TAG SQL		a statement
 *	big TAG BYTES		one with a parameter of that size
 *	reset			pg_reset
 *	free WHEN		frees the connection inside the next callback
 *				of a kind: ready, lost, notify, or of a TAG
 *	resend WHEN SQL		sends a statement from inside that callback
 *	drop			frees it from outside
 */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/pg.h"
#include "tests/integration/probes/probe.h"

enum { ORDERS_MAX = 1000 };

static struct pg *pg;
static struct event_base *base;
static char free_when[64], resend_when[64], *resend_sql;

/* A statement lives as long as its connection does. */
struct order {
	struct pg_statement statement;
	char *tag, *sql;
};
static struct order *orders[ORDERS_MAX];
static size_t order_count;

static void send_sql(const char *tag, const char *sql);

static void
heard(const char *what)
{
	if (strcmp(resend_when, what) == 0) {
		resend_when[0] = '\0';
		send_sql("resent", resend_sql);
	}
	if (strcmp(free_when, what) == 0) {
		free_when[0] = '\0';
		pg = pg_free(pg);
		probe_say("freed in %s", what);
	}
}

static void
on_ready(struct pg *ready, void *argument)
{
	(void)argument;
	probe_say(
	    "ready %d timeline %u", pg_backend_pid(ready), pg_timeline(ready));
	heard("ready");
}

static void
on_lost(struct pg *lost, const char *reason, void *argument)
{
	(void)lost, (void)argument;
	probe_say("lost %s", reason);
	heard("lost");
}

static void
on_notify(const char *channel, const char *payload, void *argument)
{
	(void)argument;
	probe_say("notify %s %s", channel, payload);
	heard("notify");
}

static void
on_result(PGresult *result, void *argument)
{
	const struct order *order = argument;
	if (result == NULL)
		probe_say("result %s lost", order->tag);
	else if (PQresultStatus(result) == PGRES_FATAL_ERROR)
		probe_say("result %s error %s %s", order->tag,
		    pg_sqlstate(result), pg_message(result));
	else
		probe_say("result %s ok %d %.60s", order->tag,
		    PQntuples(result),
		    PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
	heard(order->tag);
}

/* The same text is the same statement. */
static struct order *
order_of(const char *tag, const char *sql, int parameters)
{
	for (size_t i = 0; i < order_count; i++)
		if (strcmp(orders[i]->sql, sql) == 0 &&
		    strcmp(orders[i]->tag, tag) == 0)
			return orders[i];
	if (order_count == ORDERS_MAX)
		abort();
	struct order *order = calloc(1, sizeof *order);
	if (order == NULL)
		abort();
	order->tag = strdup(tag);
	order->sql = strdup(sql);
	order->statement.name = order->tag;
	order->statement.sql = order->sql;
	order->statement.parameters = parameters;
	orders[order_count++] = order;
	return order;
}

static void
send_sql(const char *tag, const char *sql)
{
	struct order *order = order_of(tag, sql, 0);
	int r = pg != NULL
		    ? pg_send(pg, &order->statement, NULL, on_result, order)
		    : -1;
	if (r < 0)
		probe_say("refused %s", tag);
}

static void
send_big(const char *tag, size_t size)
{
	struct order *order = order_of(tag, "SELECT length($1::text)", 1);
	char *bytes = malloc(size + 1);
	if (bytes == NULL)
		abort();
	memset(bytes, 'x', size);
	bytes[size] = '\0';
	const char *values[] = {bytes};
	if (pg_send(pg, &order->statement, values, on_result, order) < 0)
		probe_say("refused %s", tag);
	free(bytes);
}

static void
remember(char *to, size_t size, const char *word)
{
	snprintf(to, size, "%s", word != NULL ? word : "");
}

static void
on_order(char *line)
{
	char *rest = line;
	char *verb = strsep(&rest, " ");
	char *word = rest != NULL ? strsep(&rest, " ") : NULL;
	if (strcmp(verb, "send") == 0) {
		send_sql(word, rest);
	} else if (strcmp(verb, "big") == 0) {
		send_big(word, strtoul(rest, NULL, 10));
	} else if (strcmp(verb, "reset") == 0) {
		pg_reset(pg, "as ordered");
	} else if (strcmp(verb, "free") == 0) {
		remember(free_when, sizeof free_when, word);
	} else if (strcmp(verb, "resend") == 0) {
		remember(resend_when, sizeof resend_when, word);
		free(resend_sql);
		resend_sql = strdup(rest);
	} else if (strcmp(verb, "drop") == 0) {
		pg = pg_free(pg);
		probe_say("dropped");
	}
}

static void
take_option(struct pg_options *options, char *word)
{
	char *value = word;
	const char *name = strsep(&value, "=");
	if (strcmp(name, "prepare") == 0)
		options->prepare = true;
	else if (strcmp(name, "limit") == 0)
		options->statement_limit_ms = strtol(value, NULL, 10);
	else if (strcmp(name, "connect") == 0)
		options->connect_timeout_ms = strtol(value, NULL, 10);
	else if (strcmp(name, "listen") == 0)
		options->listen = value;
}

int
main(int argc, char **argv)
{
	static const struct pg_callbacks callbacks = {
	    .on_ready = on_ready,
	    .on_lost = on_lost,
	    .on_notify = on_notify,
	};
	struct pg_options options = {.application_name = "probe"};
	if (argc < 2)
		return 2;
	options.conninfo = argv[1];
	for (int i = 2; i < argc; i++)
		take_option(&options, argv[i]);
	base = event_base_new();
	pg = pg_new(base, &options, &callbacks, NULL);
	probe_run(base, on_order);
	pg = pg_free(pg);
	for (size_t i = 0; i < order_count; i++) {
		free(orders[i]->tag);
		free(orders[i]->sql);
		free(orders[i]);
	}
	free(resend_sql);
	event_base_free(base);
	libevent_global_shutdown();
	return 0;
}
