#include "daemon/scheduler/session.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/busy.h"
#include "common/log.h"
#include "daemon/scheduler/notice.h"
#include "daemon/scheduler/scheduler.h"
#include "daemon/scheduler/statements.h"
#include "daemon/schema.h"

enum { EXIT_SCHEMA = 78, RETRY_MS = 1000 };

static void check(struct scheduler *scheduler);

static void
set_state(struct scheduler *scheduler, enum session_state state)
{
	enum scoreboard_state shown = SCOREBOARD_DATABASE_AWAY;
	scheduler->session.state = state;
	if (scheduler->draining)
		shown = SCOREBOARD_DRAINING;
	else if (state == SESSION_SERVING)
		shown = SCOREBOARD_RUNNING;
	scoreboard_set_state(scheduler->board, shown);
}

bool
session_send(struct scheduler *scheduler, const struct pg_statement *statement,
    const char *const *values, pg_result_cb *on_result)
{
	int r = pg_send(
	    scheduler->session.hand, statement, values, on_result, scheduler);
	return r == 0;
}

static void
retry_later(
    struct scheduler *scheduler, const char *what, const PGresult *result)
{
	struct timeval later = {.tv_sec = RETRY_MS / 1000};
	log_warning("%s failed, trying again: %s (SQLSTATE %s)", what,
	    pg_message(result), pg_sqlstate(result));
	event_add(scheduler->session.retry, &later);
}

/* SERVING */

static void
on_settings(PGresult *result, void *argument)
{
	const struct scheduler *scheduler = argument;
	if (result == NULL)
		return;
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		log_warning("max_payload was not set in the database: %s",
		    pg_message(result));
	else if (PQgetvalue(result, 0, 0)[0] == 't')
		log_notice("max_payload in the database is now %" PRId64
			   " bytes",
		    scheduler->config->max_payload_bytes);
}

void
session_bring_settings(struct scheduler *scheduler)
{
	char bytes[24];
	const char *values[] = {bytes};
	snprintf(bytes, sizeof bytes, "%" PRId64,
	    scheduler->config->max_payload_bytes);
	if (scheduler->session.state == SESSION_SERVING)
		(void)session_send(
		    scheduler, &scheduler_set_max_payload, values, on_settings);
	schedules_bring(scheduler);
}

static void
serve(struct scheduler *scheduler)
{
	struct session *session = &scheduler->session;
	set_state(scheduler, SESSION_SERVING);
	session->cleared = true;
	if (session->lost_told)
		log_write(LOG_LEVEL_NOTICE, LOG_DATABASE_BACK, NULL,
		    "the database is back");
	session->lost_told = false;
	loop_status(scheduler->loop, "scheduling");
	if (!session->ready_sent)
		loop_send(scheduler->loop, PROCMSG_READY, NULL, 0);
	session->ready_sent = true;
	session_bring_settings(scheduler);
	chores_start(scheduler);
	scheduler_watch_start(scheduler);
	rescue_go(scheduler);
	wake_all(&scheduler->wake);
}

/* CLEARING: what an earlier life of this instance held. */

void
session_all_rescued(struct scheduler *scheduler)
{
	if (scheduler->session.state == SESSION_CLEARING)
		serve(scheduler);
}

static void
on_earlier(PGresult *result, void *argument)
{
	struct scheduler *scheduler = argument;
	if (result == NULL || scheduler->session.state != SESSION_CLEARING)
		return;
	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		retry_later(scheduler, "looking for earlier workers", result);
		return;
	}
	for (int row = 0; row < PQntuples(result); row++) {
		const char *instance = PQgetvalue(result, row, SIGNS_INSTANCE);
		int64_t worker =
		    strtoll(PQgetvalue(result, row, SIGNS_WORKER), NULL, 10);
		if (strcmp(instance, scheduler->instance) == 0)
			rescue_found(scheduler, worker, 0,
			    "left by an earlier life of this daemon");
	}
	rescue_go(scheduler);
}

static void
clear(struct scheduler *scheduler)
{
	set_state(scheduler, SESSION_CLEARING);
	(void)session_send(scheduler, &scheduler_signs, NULL, on_earlier);
}

/* CHECKING */

/* Before it was ever ready it ends here; later it waits for better. */
static void
unfit(struct scheduler *scheduler, const char *sentence)
{
	struct timeval later = {.tv_sec = RETRY_MS / 1000};
	if (!scheduler->session.ready_sent) {
		log_error("%s", sentence);
		loop_stop(scheduler->loop, EXIT_SCHEMA);
		return;
	}
	log_warning("%s", sentence);
	event_add(scheduler->session.retry, &later);
}

static void
on_schema(PGresult *result, void *argument)
{
	struct scheduler *scheduler = argument;
	const char *sentence;
	if (result == NULL || scheduler->session.state != SESSION_CHECKING)
		return;
	switch (schema_judge(result, &sentence)) {
	case SCHEMA_UNREADABLE:
		retry_later(scheduler, "reading the schema's version", result);
		break;
	case SCHEMA_UNFIT:
		unfit(scheduler, sentence);
		break;
	case SCHEMA_FITS:
		if (scheduler->first && !scheduler->session.cleared)
			clear(scheduler);
		else
			serve(scheduler);
		break;
	}
}

static void
check(struct scheduler *scheduler)
{
	set_state(scheduler, SESSION_CHECKING);
	(void)session_send(scheduler, &schema_statement, NULL, on_schema);
}

static void
on_retry(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct scheduler *scheduler = argument;
	struct busy busy = busy_enter("check of the schema");
	if (pg_is_ready(scheduler->session.hand) && !scheduler->draining)
		check(scheduler);
	busy_leave(busy);
}

/* The connections. */

static void
on_ready(struct pg *pg, void *argument)
{
	(void)pg;
	struct scheduler *scheduler = argument;
	if (!scheduler->draining)
		check(scheduler);
}

static void leave_now(struct scheduler *scheduler);

static void
on_lost(struct pg *pg, const char *reason, void *argument)
{
	(void)pg;
	struct scheduler *scheduler = argument;
	struct session *session = &scheduler->session;
	if (!session->lost_told)
		log_write(LOG_LEVEL_WARNING, LOG_DATABASE_LOST, NULL,
		    "the database is away, trying again: %s", reason);
	session->lost_told = true;
	loop_status(scheduler->loop, "waiting for the database: %s", reason);
	event_del(session->retry);
	chores_stop(scheduler);
	rescue_pause(scheduler);
	scheduler_watch_stop(scheduler);
	if (session->state == SESSION_LEAVING)
		leave_now(scheduler);
	else
		set_state(scheduler, SESSION_AWAY);
}

/* What was told meanwhile was not heard. */
static void
on_ear_ready(struct pg *pg, void *argument)
{
	struct scheduler *scheduler = argument;
	struct session *session = &scheduler->session;
	if (pg_is_pooled(pg) && !session->deaf_told)
		log_warning("wake-ups come through a pooler; one that pools "
			    "transactions loses them, and tasks wait for "
			    "poll_interval. Name PostgreSQL itself in "
			    "direct_database");
	session->deaf_told = pg_is_pooled(pg);
	wake_all(&scheduler->wake);
	chores_poke(scheduler);
}

static void
on_ear_lost(struct pg *pg, const char *reason, void *argument)
{
	(void)pg, (void)argument;
	log_debug("not listening: %s", reason);
}

static void
on_notify(const char *channel, const char *payload, void *argument)
{
	(void)channel;
	struct scheduler *scheduler = argument;
	struct notice notice = notice_parse(payload);
	switch (notice.kind) {
	case NOTICE_READY:
		wake_some(&scheduler->wake, notice.count);
		break;
	case NOTICE_CANCEL:
		(void)wake_one(&scheduler->wake, notice.worker);
		break;
	case NOTICE_WORK:
		chores_poke(scheduler);
		break;
	case NOTICE_REQUEST:
		chores_ask(scheduler);
		break;
	case NOTICE_NONE:
		break;
	}
}

static void
connect_both(struct scheduler *scheduler)
{
	static const struct pg_callbacks hand_callbacks = {
	    .on_ready = on_ready, .on_lost = on_lost};
	static const struct pg_callbacks ear_callbacks = {
	    .on_ready = on_ear_ready,
	    .on_lost = on_ear_lost,
	    .on_notify = on_notify,
	};
	const struct config *config = scheduler->config;
	struct session *session = &scheduler->session;
	struct pg_options options = {
	    .conninfo = config->database,
	    .application_name = "musterd scheduler",
	    .prepare = config->prepared_statements,
	    .pooled = config->direct_database != NULL,
	};
	session->state = SESSION_AWAY;
	session->hand =
	    pg_new(scheduler->base, &options, &hand_callbacks, scheduler);
	if (config->direct_database != NULL)
		options.conninfo = config->direct_database;
	options.application_name = "musterd listener";
	options.listen = "muster";
	options.pooled = false;
	session->ear =
	    pg_new(scheduler->base, &options, &ear_callbacks, scheduler);
}

void
session_reopen(struct scheduler *scheduler)
{
	struct session *session = &scheduler->session;
	event_del(session->retry);
	chores_stop(scheduler);
	rescue_pause(scheduler);
	scheduler_watch_stop(scheduler);
	session->hand = pg_free(session->hand);
	session->ear = pg_free(session->ear);
	connect_both(scheduler);
}

/* LEAVING */

static void
leave_now(struct scheduler *scheduler)
{
	struct procmsg_drained drained = {.unrecorded = 0};
	event_del(scheduler->session.limit);
	loop_send(scheduler->loop, PROCMSG_DRAINED, &drained, sizeof drained);
	loop_stop(scheduler->loop, 0);
}

static void
on_left(PGresult *result, void *argument)
{
	struct scheduler *scheduler = argument;
	(void)result; /* the list of sleepers costs, it does no harm */
	if (scheduler->session.state == SESSION_LEAVING)
		leave_now(scheduler);
}

static void
on_limit(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	leave_now(argument);
}

void
session_leave(struct scheduler *scheduler, int64_t limit_ms)
{
	struct timeval limit = {
	    .tv_sec = limit_ms / 1000, .tv_usec = limit_ms % 1000 * 1000};
	char id[24];
	snprintf(id, sizeof id, "%" PRId64, scheduler->session.id);
	const char *values[] = {id};
	chores_stop(scheduler);
	scheduler_watch_stop(scheduler);
	set_state(scheduler, SESSION_LEAVING);
	event_add(scheduler->session.limit, &limit);
	if (!session_send(scheduler, &scheduler_wake_up, values, on_left))
		leave_now(scheduler);
}

/* The same in every life of this instance, so that rows never pile up, and
 * never the id of a worker. */
static int64_t
sleeper_id(const char *instance)
{
	uint64_t hash = strtoull(instance, NULL, 16);
	return -(int64_t)(hash & INT64_MAX) - 1;
}

void
session_open(struct scheduler *scheduler)
{
	struct session *session = &scheduler->session;
	session->id = sleeper_id(scheduler->instance);
	session->retry = evtimer_new(scheduler->base, on_retry, scheduler);
	session->limit = evtimer_new(scheduler->base, on_limit, scheduler);
	if (session->retry == NULL || session->limit == NULL)
		abort();
	connect_both(scheduler);
	loop_status(scheduler->loop, "waiting for the database");
}

void
session_close(struct scheduler *scheduler)
{
	struct session *session = &scheduler->session;
	session->state = SESSION_AWAY;
	session->hand = pg_free(session->hand);
	session->ear = pg_free(session->ear);
	event_free(session->retry);
	event_free(session->limit);
}
