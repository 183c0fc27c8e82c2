#include "daemon/scheduler/schedules.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/busy.h"
#include "common/log.h"
#include "common/text.h"
#include "daemon/scheduler/scheduler.h"
#include "daemon/scheduler/statements.h"

enum { CHANGED, REMOVED, RETRY_MS = 1000 };

static void
add_text(struct text *json, const char *key, const char *value)
{
	if (value == NULL)
		return;
	text_addf(json, ",\"%s\":", key);
	text_add_json_string(json, value, strlen(value));
}

/* What is negative was not given. */
static void
add_positive(struct text *json, const char *key, int64_t number)
{
	if (number >= 0)
		text_addf(json, ",\"%s\":%" PRId64, key, number);
}

/* {columns of muster.schedule} */
static void
add_schedule(struct text *json, const struct schedule_config *schedule)
{
	text_addf(json, "{\"priority\":%d", schedule->priority);
	add_positive(json, "every_ms", schedule->every_ms);
	add_positive(json, "jitter_ms", schedule->jitter_ms);
	add_positive(json, "timeout_ms", schedule->timeout_ms);
	add_positive(json, "max_attempts", schedule->max_attempts);
	add_text(json, "cron", schedule->cron);
	add_text(json, "timezone", schedule->timezone);
	add_text(json, "kind", schedule->kind);
	add_text(json, "queue", schedule->queue);
	add_text(json, "missed", config_missed_words[schedule->missed]);
	add_text(json, "overlap", config_overlap_words[schedule->overlap]);
	text_addf(json, ",\"payload\":%s}",
	    schedule->payload != NULL ? schedule->payload : "{}");
}

static void
retry_later(struct scheduler *scheduler)
{
	struct timeval later = {.tv_sec = RETRY_MS / 1000};
	event_add(scheduler->schedules.retry, &later);
}

static void
on_brought(PGresult *result, void *argument)
{
	struct scheduler *scheduler = argument;
	if (result == NULL)
		return; /* SERVING will come again */
	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		bool wrong = strcmp(pg_sqlstate(result), "MU003") == 0;
		log_warning("the schedules of the configuration are not in "
			    "force%s: %s",
		    wrong ? "" : ", trying again", pg_message(result));
		if (!wrong)
			retry_later(scheduler);
	} else if (PQgetisnull(result, 0, CHANGED)) {
		log_debug("schedules are being changed by others");
		retry_later(scheduler);
	} else if (strcmp(PQgetvalue(result, 0, CHANGED), "0") != 0 ||
		   strcmp(PQgetvalue(result, 0, REMOVED), "0") != 0) {
		log_notice("schedules of the configuration: %s changed, %s "
			   "removed",
		    PQgetvalue(result, 0, CHANGED),
		    PQgetvalue(result, 0, REMOVED));
		chores_fire(scheduler);
	}
}

void
schedules_bring(struct scheduler *scheduler)
{
	const struct config *config = scheduler->config;
	struct text json = TEXT_EMPTY;
	event_del(scheduler->schedules.retry);
	if (scheduler->session.state != SESSION_SERVING)
		return;
	text_add_char(&json, '{');
	for (size_t i = 0; i < config->schedule_count; i++) {
		const struct schedule_config *schedule = &config->schedules[i];
		if (i > 0)
			text_add_char(&json, ',');
		text_add_json_string(
		    &json, schedule->name, strlen(schedule->name));
		text_add_char(&json, ':');
		add_schedule(&json, schedule);
	}
	text_add_char(&json, '}');
	const char *values[] = {scheduler->instance, text_string(&json)};
	(void)session_send(scheduler, &scheduler_sync, values, on_brought);
	text_free(&json);
}

static void
on_retry(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct busy busy = busy_enter("schedules");
	schedules_bring(argument);
	busy_leave(busy);
}

void
schedules_open(struct scheduler *scheduler)
{
	scheduler->schedules.retry =
	    evtimer_new(scheduler->base, on_retry, scheduler);
	if (scheduler->schedules.retry == NULL)
		abort();
}

void
schedules_close(struct scheduler *scheduler)
{
	event_free(scheduler->schedules.retry);
}
