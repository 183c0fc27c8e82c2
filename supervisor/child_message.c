#include "supervisor/child_message.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "supervisor/child.h"
#include "supervisor/deaths.h"
#include "supervisor/generation.h"
#include "supervisor/place.h"
#include "supervisor/supervisor.h"

/* What the scheduler knows of the workers. */

static void
tell_worker(struct child *scheduler, const struct child *worker)
{
	struct procmsg_worker body = {
	    .worker_id = worker->worker_id, .slot = worker->key};
	if (scheduler && scheduler->channel)
		child_send(scheduler, PROCMSG_WORKER_FD, &body, sizeof body,
		    worker->wake_fd);
}

static void
tell_gone(struct child *scheduler, int32_t key)
{
	if (scheduler)
		child_send(
		    scheduler, PROCMSG_WORKER_GONE, &key, sizeof key, -1);
}

static void
tell_if_worker(struct child *worker, void *scheduler)
{
	if (worker->place->role == ROLE_WORKER)
		tell_worker(scheduler, worker);
}

void
child_introduce(struct child *child)
{
	struct place *scheduler = &child->supervisor->scheduler;
	if (child->place->role == ROLE_SCHEDULER) {
		places_each(child->supervisor, tell_if_worker, child);
		return;
	}
	tell_worker(scheduler->serving, child);
	tell_worker(scheduler->coming, child);
	tell_worker(scheduler->leaving, child);
}

void
child_withdraw(struct child *child)
{
	struct place *scheduler = &child->supervisor->scheduler;
	tell_gone(scheduler->serving, child->key);
	tell_gone(scheduler->coming, child->key);
	tell_gone(scheduler->leaving, child->key);
}

/* What children say. Bodies of another size are nonsense. */

static void
take_ready(struct child *child)
{
	if (child->state != CHILD_STARTING)
		return;
	child->state = CHILD_RUNNING;
	child->worked = true;
	child->place->worked = true;
	if (child->place->role == ROLE_SCHEDULER)
		deaths_send_all(child->supervisor->deaths, child->channel);
}

static void
take_status(struct child *child, const struct procmsg *message)
{
	size_t size = message->size;
	if (size >= sizeof child->status)
		size = sizeof child->status - 1;
	memcpy(child->status, message->body, size);
	child->status[size] = '\0';
}

static bool
take_identity(struct child *child, const struct procmsg *message)
{
	struct procmsg_identity identity;
	if (message->size != sizeof identity)
		return false;
	memcpy(&identity, message->body, sizeof identity);
	if (identity.worker_id < 0 || child->place->role != ROLE_WORKER)
		return false;
	child->worker_id = identity.worker_id;
	child_introduce(child);
	return true;
}

static bool
take_ack(struct child *child, const struct procmsg *message)
{
	uint64_t number;
	if (message->size != sizeof number ||
	    child->place->role != ROLE_SCHEDULER)
		return false;
	memcpy(&number, message->body, sizeof number);
	deaths_acknowledge(child->supervisor->deaths, number);
	return true;
}

static bool
take_drained(struct child *child, const struct procmsg *message)
{
	struct procmsg_drained drained;
	if (message->size != sizeof drained)
		return false;
	memcpy(&drained, message->body, sizeof drained);
	child->drained = true;
	child->unrecorded = drained.unrecorded;
	if (drained.unrecorded > 0 &&
	    child->supervisor->state == SUPERVISOR_DRAINING)
		child->supervisor->drain.unrecorded = true;
	child_ending(child);
	return true;
}

static bool
take(struct child *child, const struct procmsg *message)
{
	switch (message->type) {
	case PROCMSG_READY:
		take_ready(child);
		return true;
	case PROCMSG_STATUS:
		take_status(child, message);
		return true;
	case PROCMSG_CONFIG_TAKEN:
		child->taken = message->generation;
		return true;
	case PROCMSG_IDENTITY:
		return take_identity(child, message);
	case PROCMSG_DEATH_ACK:
		return take_ack(child, message);
	case PROCMSG_DRAINED:
		return take_drained(child, message);
	default:
		return false;
	}
}

void
child_on_message(const struct procmsg *message, void *argument)
{
	struct child *child = argument;
	assert(child->magic == CHILD_MAGIC);
	if (message->fd >= 0)
		close(message->fd); /* children have none to hand over */
	if (!take(child, message)) {
		log_error("%s (pid %d) sent a message that makes no sense "
			  "(type %d, %zu bytes); killing it",
		    child->name, (int)child->pid, (int)message->type,
		    message->size);
		child_kill(child);
	}
	supervisor_wake(child->supervisor);
}

void
child_on_channel_end(const char *reason, void *argument)
{
	struct child *child = argument;
	assert(child->magic == CHILD_MAGIC);
	log_debug("%s (pid %d) %s", child->name, (int)child->pid, reason);
	child_ending(child);
	supervisor_wake(child->supervisor);
}
