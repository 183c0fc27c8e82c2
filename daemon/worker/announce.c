#include "daemon/worker/announce.h"

#include <unistd.h>

#include "daemon/event.h"
#include "daemon/worker/outbox.h"
#include "daemon/worker/worker.h"

static void
begin_task(struct text *event, enum event_type type,
    const struct worker *worker, const struct running *running)
{
	event_begin(event, type, wall_now_us());
	event_add_id(event, "task", running->task.id);
	event_add_string(event, "kind", running->shares.kind->name);
	event_add_string(event, "queue", running->shares.queue->name);
	event_add_id(event, "flow", running->task.flow);
	event_add_number(event, "attempt", running->task.attempt);
	event_add_id(event, "worker", worker->member.id);
}

void
announce_started(struct worker *worker, const struct running *running)
{
	struct text event = TEXT_EMPTY;

	if (!publisher_wants(
		worker->publisher, EVENT_TASK_STARTED, running->task.started))
		return;
	begin_task(&event, EVENT_TASK_STARTED, worker, running);
	event_send(worker->publisher, EVENT_TASK_STARTED, &event);
}

void
announce_progress(struct worker *worker, struct running *running,
    double fraction, const char *note, size_t note_size)
{
	struct text event = TEXT_EMPTY;
	struct mono now = mono_now();

	if (running->announced.us != 0 &&
	    mono_ms_between(running->announced, now) < ANNOUNCE_PROGRESS_MS)
		return;
	if (!publisher_wants(worker->publisher, EVENT_TASK_PROGRESSED, now))
		return;
	running->announced = now;
	begin_task(&event, EVENT_TASK_PROGRESSED, worker, running);
	text_addf(&event, ",\"fraction\":%.6g",
	    fraction > 0 ? (fraction < 1 ? fraction : 1) : 0);
	event_add_text(&event, "note", note, note_size, OUTBOX_NOTE_MAX);
	event_send(worker->publisher, EVENT_TASK_PROGRESSED, &event);
}

/* EVENT_TYPES: there is none of it. What was given back before it started is
 * nobody's business. */
static enum event_type
type_of(const struct running *running)
{
	switch (running->finish.outcome) {
	case 's':
		return EVENT_TASK_FINISHED;
	case 'f':
		return EVENT_TASK_FAILED;
	case 'r':
	case 'u':
		return EVENT_TASK_RETRIED;
	case 'c':
		return EVENT_TASK_CANCELLED;
	default:
		return running->task.started.us != 0 &&
			       running->shares.kind != NULL
			   ? EVENT_TASK_RELEASED
			   : EVENT_TYPES;
	}
}

void
announce_recorded(
    struct worker *worker, const struct running *running, struct mono now)
{
	const struct finish *finish = &running->finish;
	enum event_type type = type_of(running);
	struct text event = TEXT_EMPTY;

	if (type == EVENT_TYPES ||
	    !publisher_wants(worker->publisher, type, now))
		return;
	begin_task(&event, type, worker, running);
	event_add_number(&event, "ran_ms", finish->ran_ms);
	if (type == EVENT_TASK_RETRIED)
		event_add_number(&event, "again_in_ms", finish->delay_ms);
	event_add_text(&event, "error", finish->error, finish->error_size,
	    EVENT_ERROR_BYTES);
	event_send(worker->publisher, type, &event);
}

static void
add_worker(
    struct text *event, enum event_type type, const struct worker *worker)
{
	char host[256] = "";

	(void)gethostname(host, sizeof(host) - 1); /* unnamed is no harm */
	event_begin(event, type, wall_now_us());
	event_add_id(event, "worker", worker->member.id);
	event_add_string(event, "instance", worker->instance);
	event_add_string(event, "host", host);
	event_add_number(event, "pid", getpid());
}

void
announce_up(struct worker *worker)
{
	struct text event = TEXT_EMPTY;

	if (worker->announced_up == worker->member.id ||
	    !publisher_wants(worker->publisher, EVENT_WORKER_UP, mono_now()))
		return;
	worker->announced_up = worker->member.id;
	add_worker(&event, EVENT_WORKER_UP, worker);
	event_send(worker->publisher, EVENT_WORKER_UP, &event);
}

void
announce_down(struct worker *worker)
{
	struct text event = TEXT_EMPTY;

	if (!publisher_wants(worker->publisher, EVENT_WORKER_DOWN, mono_now()))
		return;
	add_worker(&event, EVENT_WORKER_DOWN, worker);
	event_add_string(&event, "cause", "it was told to end");
	event_send(worker->publisher, EVENT_WORKER_DOWN, &event);
}

void
announce_open(struct worker *worker)
{
	if (worker->heartbeat.redis == NULL)
		return;
	worker->publisher = event_publisher(
	    worker->base, worker->board, worker->config->cluster);
	publisher_use(worker->publisher, worker->heartbeat.redis);
}

/* The last word to the database has been said: what is left of the time for
 * draining is for this. */
void
announce_flush(struct worker *worker)
{
	int64_t ms = mono_ms_between(mono_now(), worker->drain.gone_at);

	if (ms > 0)
		publisher_flush(worker->publisher,
		    ms < ANNOUNCE_FLUSH_MS ? ms : ANNOUNCE_FLUSH_MS);
}

void
announce_close(struct worker *worker)
{
	worker->publisher = publisher_free(worker->publisher);
}
