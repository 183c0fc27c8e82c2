#include "daemon/scheduler/rescue.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/busy.h"
#include "common/log.h"
#include "common/procmsg.h"
#include "common/text.h"
#include "daemon/scheduler/scheduler.h"
#include "daemon/scheduler/statements.h"
#include "daemon/scheduler/tell.h"

enum { RETRY_MS = 1000 };

static void rescue_next(struct scheduler *scheduler);

static void
report_free(struct rescue_report *report)
{
	free(report->cause);
	free(report->started);
	free(report->inside);
	free(report);
}

static void
acknowledge(struct scheduler *scheduler, uint64_t number)
{
	if (number != 0)
		loop_send(
		    scheduler->loop, PROCMSG_DEATH_ACK, &number, sizeof number);
}

static void
log_rescue(const struct rescue_report *report, const PGresult *result)
{
	const char *back = PQgetvalue(result, 0, RESCUE_HANDED_BACK);
	const char *failed = PQgetvalue(result, 0, RESCUE_FAILED);
	bool nothing = strcmp(back, "0") == 0 && strcmp(failed, "0") == 0;
	log_write(nothing ? LOG_LEVEL_INFO : LOG_LEVEL_NOTICE, LOG_TASK_RESCUED,
	    NULL,
	    "worker %" PRId64 " is dead (%s): %s tasks handed back, %s failed",
	    report->worker, report->cause, back, failed);
}

static void
settled(struct scheduler *scheduler, const PGresult *result)
{
	struct rescue_report *report = TAILQ_FIRST(&scheduler->rescue.line);
	if (result != NULL && PQntuples(result) >= 1) {
		log_rescue(report, result);
		tell_rescue(scheduler, report->worker, report->cause, result);
	}
	acknowledge(scheduler, report->number);
	TAILQ_REMOVE(&scheduler->rescue.line, report, link);
	report_free(report);
}

/* Behind the others: one that fails for good holds up nobody. */
static void
refused(struct scheduler *scheduler, const PGresult *result)
{
	struct rescue *rescue = &scheduler->rescue;
	struct rescue_report *report = TAILQ_FIRST(&rescue->line);
	struct timeval retry = {.tv_sec = RETRY_MS / 1000};
	log_warning("the rescue of worker %" PRId64
		    " failed, trying again: %s (SQLSTATE %s)",
	    report->worker, pg_message(result), pg_sqlstate(result));
	TAILQ_REMOVE(&rescue->line, report, link);
	TAILQ_INSERT_TAIL(&rescue->line, report, link);
	event_add(rescue->retry, &retry);
}

static void
on_rescued(PGresult *result, void *argument)
{
	struct scheduler *scheduler = argument;
	struct rescue *rescue = &scheduler->rescue;
	rescue->busy = false;
	if (result == NULL)
		return; /* unknown: rescue_go sends it again */
	if (PQresultStatus(result) == PGRES_TUPLES_OK) {
		settled(scheduler, result);
		rescue_next(scheduler);
	} else {
		refused(scheduler, result);
	}
}

static void
on_terminated(PGresult *result, void *argument)
{
	(void)argument;
	if (result != NULL && PQresultStatus(result) != PGRES_TUPLES_OK)
		log_warning("the session of a dead worker was not ended, "
			    "ignoring: %s",
		    pg_message(result));
}

/* A frozen host keeps its session, which may hold locks, for long. Where a
 * pooler stands in between, the session serves others by now. */
static void
terminate(struct scheduler *scheduler, int backend_pid)
{
	char pid[16];
	snprintf(pid, sizeof pid, "%d", backend_pid);
	const char *values[] = {pid};
	(void)session_send(
	    scheduler, &scheduler_terminate, values, on_terminated);
}

static void
send_rescue(struct scheduler *scheduler, const struct rescue_report *report)
{
	char worker[24], limit[16];
	snprintf(worker, sizeof worker, "%" PRId64, report->worker);
	snprintf(limit, sizeof limit, "%d", scheduler->config->crash_limit);
	const char *values[] = {worker, report->cause, report->started,
	    report->crashed ? limit : NULL, report->inside};
	if (report->backend_pid != 0 &&
	    scheduler->config->direct_database == NULL)
		terminate(scheduler, report->backend_pid);
	scheduler->rescue.busy =
	    session_send(scheduler, &scheduler_rescue, values, on_rescued);
}

static void
rescue_next(struct scheduler *scheduler)
{
	struct rescue *rescue = &scheduler->rescue;
	enum session_state state = scheduler->session.state;
	if (rescue->busy ||
	    (state != SESSION_SERVING && state != SESSION_CLEARING))
		return;
	struct rescue_report *report = TAILQ_FIRST(&rescue->line);
	if (report == NULL) {
		session_all_rescued(scheduler);
	} else if (report->worker == 0) {
		settled(scheduler, NULL); /* it never came so far */
		rescue_next(scheduler);
	} else {
		send_rescue(scheduler, report);
	}
}

void
rescue_go(struct scheduler *scheduler)
{
	rescue_next(scheduler);
}

void
rescue_pause(struct scheduler *scheduler)
{
	scheduler->rescue.busy = false;
	event_del(scheduler->rescue.retry);
}

static void
on_retry(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct busy busy = busy_enter("rescue again");
	rescue_next(argument);
	busy_leave(busy);
}

static bool
is_in_line(const struct rescue *rescue, uint64_t number, int64_t worker)
{
	const struct rescue_report *report;
	TAILQ_FOREACH(report, &rescue->line, link)
	if (number != 0 ? report->number == number : report->worker == worker)
		return true;
	return false;
}

static struct rescue_report *
add(struct scheduler *scheduler, uint64_t number, int64_t worker,
    const char *cause)
{
	struct rescue_report *report = calloc(1, sizeof *report);
	if (report == NULL || (report->cause = strdup(cause)) == NULL)
		abort();
	report->number = number;
	report->worker = worker;
	TAILQ_INSERT_TAIL(&scheduler->rescue.line, report, link);
	return report;
}

/* The ids that follow a report, as an array for SQL. */
static char *
started_array(const struct procmsg *message, uint32_t count)
{
	struct text text = TEXT_EMPTY;
	const char *at = (const char *)message->body;
	at += sizeof(struct procmsg_death);
	text_add_char(&text, '{');
	for (uint32_t i = 0; i < count; i++) {
		int64_t id;
		memcpy(&id, at + i * sizeof id, sizeof id);
		if (i > 0)
			text_add_char(&text, ',');
		text_add_int(&text, id);
	}
	text_add_char(&text, '}');
	return text_steal(&text);
}

void
rescue_reported(struct scheduler *scheduler, const struct procmsg *message)
{
	struct procmsg_death death;
	if (message->size < sizeof death) {
		log_error("a death report is too short, ignoring");
		return;
	}
	memcpy(&death, message->body, sizeof death);
	death.cause[sizeof death.cause - 1] = '\0';
	if ((message->size - sizeof death) / sizeof(int64_t) < death.started ||
	    death.inside > death.started) {
		log_error("a death report is cut short, ignoring");
		return;
	}
	if (is_in_line(&scheduler->rescue, death.number, death.worker_id))
		return;
	struct rescue_report *report =
	    add(scheduler, death.number, death.worker_id, death.cause);
	report->crashed = death.crashed != 0;
	if (death.started_known != 0) {
		report->started = started_array(message, death.started);
		report->inside = started_array(message, death.inside);
	}
	rescue_next(scheduler);
}

void
rescue_found(struct scheduler *scheduler, int64_t worker, int backend_pid,
    const char *cause)
{
	if (is_in_line(&scheduler->rescue, 0, worker))
		return;
	add(scheduler, 0, worker, cause)->backend_pid = backend_pid;
	rescue_next(scheduler);
}

size_t
rescue_waiting(const struct scheduler *scheduler)
{
	size_t count = 0;
	const struct rescue_report *report;
	TAILQ_FOREACH(report, &scheduler->rescue.line, link)
	count++;
	return count;
}

void
rescue_open(struct scheduler *scheduler)
{
	TAILQ_INIT(&scheduler->rescue.line);
	scheduler->rescue.retry =
	    evtimer_new(scheduler->base, on_retry, scheduler);
	if (scheduler->rescue.retry == NULL)
		abort();
}

void
rescue_close(struct scheduler *scheduler)
{
	struct rescue *rescue = &scheduler->rescue;
	struct rescue_report *report;
	while ((report = TAILQ_FIRST(&rescue->line)) != NULL) {
		TAILQ_REMOVE(&rescue->line, report, link);
		report_free(report);
	}
	event_free(rescue->retry);
}
