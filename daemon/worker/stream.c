#include "daemon/worker/stream.h"

#include "daemon/worker/outbox.h"
#include "daemon/worker/worker.h"

/* Nobody wants to hear of a task from a worker whose it is no more. */
static bool
is_heard(const struct worker *worker, const struct running *running)
{
	return worker->outbox != NULL && running->state == RUNNING_STARTED &&
	       !(running->cancelled && running->reason == CANCEL_FENCED);
}

void
stream_progress(struct task *task, double fraction, const char *note,
    size_t note_size, void *argument)
{
	struct worker *worker = argument;
	struct running *running = running_of(task);

	if (!is_heard(worker, running))
		return;
	outbox_progress(worker->outbox, &running->told, task->id, fraction,
	    note, note_size);
	announce_progress(worker, running, fraction, note, note_size);
}

void
stream_chunk(struct task *task, const char *data, size_t size, void *argument)
{
	struct worker *worker = argument;
	struct running *running = running_of(task);

	if (is_heard(worker, running))
		outbox_chunk(
		    worker->outbox, &running->told, task->id, data, size);
}

/* How the attempt ended, for spectators; NULL: it is no matter of ours. */
static const char *
outcome_of(const struct running *running, enum verdict verdict)
{
	if (verdict == VERDICT_DROP)
		return NULL;
	if (verdict == VERDICT_RECORDED)
		return "succeeded";
	switch (running->finish.outcome) {
	case 's':
		return "succeeded";
	case 'f':
		return "failed";
	case 'c':
		return "cancelled";
	default:
		return "retried";
	}
}

void
stream_end(struct worker *worker, struct running *running, enum verdict verdict)
{
	if (running->told != NULL)
		outbox_end(worker->outbox, &running->told,
		    outcome_of(running, verdict));
}

void
stream_open(struct worker *worker)
{
	struct redis_address address;
	struct error error;

	if (worker->config->redis == NULL ||
	    redis_address_parse(worker->config->redis, &address, &error) < 0)
		return; /* the heartbeat has said so */
	worker->outbox = outbox_new(
	    worker->base, &address, worker->config->cluster, worker->board);
	redis_address_free(&address);
}

void
stream_flush(struct worker *worker)
{
	outbox_flush(worker->outbox, STREAM_FLUSH_MS);
}

void
stream_close(struct worker *worker)
{
	worker->outbox = outbox_free(worker->outbox);
}
