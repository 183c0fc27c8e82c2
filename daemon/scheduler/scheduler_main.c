#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "daemon/scheduler/scheduler.h"
#include "daemon/scheduler/tell.h"

/* Leaving takes one statement; orphaned it has no other limit. */
enum { EXIT_NO_LOOP = 1, LEAVE_MS = 1000 };

static bool
differs(const char *a, const char *b)
{
	return (a == NULL) != (b == NULL) || (a != NULL && strcmp(a, b) != 0);
}

static bool
reaches_otherwise(const struct config *old, const struct config *config)
{
	return differs(old->database, config->database) ||
	       differs(old->direct_database, config->direct_database) ||
	       old->prepared_statements != config->prepared_statements;
}

static void
on_config(struct config *config, uint64_t generation, void *argument)
{
	struct scheduler *scheduler = argument;
	struct config *old = scheduler->config;
	scheduler->config = config;
	log_set_level(config->log_level);
	session_bring_settings(scheduler);
	if (differs(old->redis, config->redis) ||
	    differs(old->cluster, config->cluster))
		scheduler_watch_configure(scheduler);
	if (!scheduler->draining && reaches_otherwise(old, config)) {
		session_reopen(scheduler);
		triggers_reopen(scheduler);
	} else if (differs(old->redis, config->redis)) {
		triggers_reopen(scheduler);
	}
	if (!scheduler->draining)
		triggers_configure(scheduler);
	config_free(old);
	loop_config_taken(scheduler->loop, generation);
}

static void
drain(struct scheduler *scheduler, int64_t limit_ms)
{
	if (scheduler->draining)
		return;
	scheduler->draining = true;
	scheduler->gone_at = mono_add_ms(mono_now(), limit_ms);
	loop_status(scheduler->loop, "draining");
	session_leave(scheduler, limit_ms);
}

static void
on_drain(int64_t cancel_ms, int64_t gone_ms, void *argument)
{
	(void)cancel_ms;
	drain(argument, gone_ms < LEAVE_MS ? gone_ms : LEAVE_MS);
}

static void
on_orphan(const char *reason, void *argument)
{
	log_warning("the supervisor is gone, ending: %s", reason);
	drain(argument, LEAVE_MS);
}

static void
on_log_state(void *argument)
{
	struct scheduler *scheduler = argument;
	const struct chores *chores = &scheduler->chores;
	const uint64_t *rows = chores->rows;
	log_notice("scheduler: %s, %zu workers of this host, %zu known in "
		   "all, %zu to be rescued",
	    chores->on ? "at work" : "without the database",
	    scheduler->wake.count, scheduler->watch.signs.count,
	    rescue_waiting(scheduler));
	log_notice("taken: requests %llu, arriving %llu, remainders %llu, due "
		   "%llu, of flows %llu, ended %llu, ticks %llu; %llu "
		   "wake-ups",
	    (unsigned long long)rows[CHORE_CARRY_OUT],
	    (unsigned long long)rows[CHORE_ADMIT],
	    (unsigned long long)rows[CHORE_UNLOCK],
	    (unsigned long long)rows[CHORE_DUE],
	    (unsigned long long)rows[CHORE_FOLD],
	    (unsigned long long)rows[CHORE_PURGE],
	    (unsigned long long)rows[CHORE_FIRE],
	    (unsigned long long)scheduler->wake.written);
}

static void
take_worker(struct scheduler *scheduler, const struct procmsg *message)
{
	struct procmsg_worker worker;
	if (message->size != sizeof worker || message->fd < 0) {
		log_error("a worker's eventfd is missing, ignoring");
		if (message->fd >= 0)
			close(message->fd);
		return;
	}
	memcpy(&worker, message->body, sizeof worker);
	wake_add(&scheduler->wake, worker.slot, worker.worker_id, message->fd);
}

static void
take_gone(struct scheduler *scheduler, const struct procmsg *message)
{
	int32_t slot;
	if (message->size != sizeof slot)
		return;
	memcpy(&slot, message->body, sizeof slot);
	wake_remove(&scheduler->wake, slot);
}

static void
on_message(const struct procmsg *message, void *argument)
{
	struct scheduler *scheduler = argument;
	if (message->type == PROCMSG_WORKER_FD) {
		take_worker(scheduler, message);
		return;
	}
	if (message->fd >= 0)
		close(message->fd);
	if (message->type == PROCMSG_WORKER_GONE)
		take_gone(scheduler, message);
	else if (message->type == PROCMSG_DEATH_REPORT)
		rescue_reported(scheduler, message);
}

static const struct loop_callbacks callbacks = {
    .on_config = on_config,
    .on_drain = on_drain,
    .on_log_state = on_log_state,
    .on_orphan = on_orphan,
    .on_message = on_message,
};

static void
open_parts(struct scheduler *scheduler, struct child_start *start)
{
	scheduler->base = loop_base(scheduler->loop);
	scheduler->board = loop_scoreboard(scheduler->loop);
	scheduler->config = start->config;
	start->config = NULL;
	scheduler->first = start->first;
	snprintf(scheduler->instance, sizeof scheduler->instance, "%s",
	    child_instance(scheduler->config));
	log_set_level(scheduler->config->log_level);
	wake_open(&scheduler->wake, scheduler->base);
	chores_open(scheduler);
	rescue_open(scheduler);
	schedules_open(scheduler);
	scheduler_watch_open(scheduler);
	session_open(scheduler);
	triggers_open(scheduler);
}

/* The flush turns the loop: all that may fire meanwhile still stands. */
static void
close_parts(struct scheduler *scheduler)
{
	tell_flush(scheduler);
	triggers_close(scheduler);
	session_close(scheduler);
	scheduler_watch_close(scheduler);
	schedules_close(scheduler);
	rescue_close(scheduler);
	chores_close(scheduler);
	wake_close(&scheduler->wake);
	config_free(scheduler->config);
}

int
scheduler_main(struct child_start *start)
{
	struct scheduler *scheduler = calloc(1, sizeof *scheduler);
	if (scheduler == NULL)
		abort();
	scheduler->loop = loop_new(start, &callbacks, scheduler);
	if (scheduler->loop == NULL) {
		free(scheduler);
		return EXIT_NO_LOOP;
	}
	open_parts(scheduler, start);
	int code = loop_run(scheduler->loop);
	close_parts(scheduler);
	loop_free(scheduler->loop);
	free(scheduler);
	return code;
}
