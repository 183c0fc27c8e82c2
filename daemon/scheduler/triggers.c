#include "daemon/scheduler/triggers.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/backoff.h"
#include "common/busy.h"
#include "common/log.h"
#include "common/redis.h"
#include "daemon/scheduler/scheduler.h"
#include "daemon/scheduler/statements.h"
#include "daemon/scheduler/trigger.h"

static void pump(struct scheduler *scheduler);

static void
count_dropped(struct scheduler *scheduler, uint64_t messages)
{
	scoreboard_count(
	    scheduler->board, SCOREBOARD_TRIGGERS_DROPPED, messages);
}

static void
drop_all(struct scheduler *scheduler, struct trigger *trigger, const char *why)
{
	if (trigger->count > 0) {
		log_warning("trigger '%s': %zu messages are dropped, %s",
		    trigger->name, trigger->count, why);
		count_dropped(scheduler, trigger->count);
	}
	trigger_drop(trigger);
}

/* Listening. */

static void
on_message(bool pattern, const char *name, const char *message, size_t size,
    void *argument)
{
	struct scheduler *scheduler = argument;
	const struct triggers *triggers = &scheduler->triggers;
	struct mono now = mono_now();
	for (size_t i = 0; i < triggers->count; i++) {
		struct trigger *trigger = triggers->items[i];
		if (trigger->held && trigger->pattern == pattern &&
		    strcmp(trigger->channel, name) == 0 &&
		    trigger_take(trigger, message, size,
			scheduler->config->max_payload_bytes,
			now) != TRIGGER_TAKEN)
			count_dropped(scheduler, 1);
	}
	pump(scheduler);
}

/* Whether another one that is held has its channel, too. */
static bool
is_shared(const struct triggers *triggers, const struct trigger *trigger)
{
	for (size_t i = 0; i < triggers->count; i++) {
		const struct trigger *other = triggers->items[i];
		if (other != trigger && other->held &&
		    other->pattern == trigger->pattern &&
		    strcmp(other->channel, trigger->channel) == 0)
			return true;
	}
	return false;
}

static void
listen_to(struct scheduler *scheduler, const struct trigger *trigger)
{
	/* What is down listens to all when it comes up. */
	if (redis_is_up(scheduler->triggers.redis) &&
	    redis_listen(scheduler->triggers.redis, trigger->pattern,
		trigger->channel, on_message, scheduler) < 0)
		log_debug("not listening to %s", trigger->channel);
}

static void
on_redis(bool up, const char *reason, void *argument)
{
	struct scheduler *scheduler = argument;
	const struct triggers *triggers = &scheduler->triggers;
	if (!up) {
		log_write(LOG_LEVEL_WARNING, LOG_REDIS_LOST, NULL,
		    "no connection to redis, triggers hear nothing: %s",
		    reason);
		return;
	}
	for (size_t i = 0; i < triggers->count; i++)
		if (triggers->items[i]->held)
			listen_to(scheduler, triggers->items[i]);
}

static void
open_redis(struct scheduler *scheduler)
{
	struct redis_address address;
	struct error error = {0};
	if (redis_address_parse(scheduler->config->redis, &address, &error) < 0)
		return; /* the watch has said so */
	scheduler->triggers.redis =
	    redis_new(scheduler->base, &address, on_redis, scheduler);
	redis_address_free(&address);
}

static bool
is_any_held(const struct triggers *triggers)
{
	for (size_t i = 0; i < triggers->count; i++)
		if (triggers->items[i]->held)
			return true;
	return false;
}

/* Enqueuing: one statement at a time, the triggers in turn. */

/* False: it is trouble of the server, which may pass. */
static bool
refused(struct scheduler *scheduler, const PGresult *result)
{
	struct trigger *trigger = scheduler->triggers.sending;
	const char *state = pg_sqlstate(result);
	if (strncmp(state, "22", 2) == 0 || strncmp(state, "54", 2) == 0 ||
	    strcmp(state, "MU003") == 0) {
		if (trigger_refused(trigger)) {
			count_dropped(scheduler, 1);
			log_debug("trigger '%s': a message is refused: %s",
			    trigger->name, pg_message(result));
		}
		return true;
	}
	log_warning("trigger '%s': enqueuing failed, trying again: %s "
		    "(SQLSTATE %s)",
	    trigger->name, pg_message(result), state);
	trigger_again(trigger);
	return false;
}

static void
on_enqueued(PGresult *result, void *argument)
{
	struct scheduler *scheduler = argument;
	struct triggers *triggers = &scheduler->triggers;
	struct trigger *trigger = triggers->sending;
	bool done = result != NULL && PQresultStatus(result) == PGRES_TUPLES_OK;
	triggers->busy = false;
	if (result == NULL)
		return; /* lost: all is dropped */
	if (done)
		scoreboard_count(scheduler->board, SCOREBOARD_TRIGGERED,
		    strtoull(PQgetvalue(result, 0, 0), NULL, 10));
	if (trigger != NULL && done)
		trigger_done(trigger);
	else if (trigger != NULL && !refused(scheduler, result))
		return; /* the timer tries again */
	pump(scheduler);
}

static bool
send_batch(struct scheduler *scheduler, struct trigger *trigger)
{
	struct text payloads = TEXT_EMPTY;
	char priority[16];
	bool sent = false;
	snprintf(priority, sizeof priority, "%d", trigger->priority);
	if (trigger->held && trigger_batch(trigger, &payloads) > 0) {
		const char *values[] = {trigger->kind, text_string(&payloads),
		    trigger->queue, priority};
		sent = pg_send(scheduler->triggers.pg, &scheduler_enqueue_many,
			   values, on_enqueued, scheduler) == 0;
		if (!sent)
			trigger_again(trigger);
	}
	text_free(&payloads);
	return sent;
}

static void
pump(struct scheduler *scheduler)
{
	struct triggers *triggers = &scheduler->triggers;
	for (size_t i = 0;
	     i < triggers->count && triggers->in && !triggers->busy; i++) {
		struct trigger *trigger =
		    triggers->items[triggers->next++ % triggers->count];
		if (!send_batch(scheduler, trigger))
			continue;
		triggers->busy = true;
		triggers->sending = trigger;
	}
}

/* The locks. */

static void
hold(struct scheduler *scheduler, const char *name)
{
	struct triggers *triggers = &scheduler->triggers;
	for (size_t i = 0; i < triggers->count; i++) {
		struct trigger *trigger = triggers->items[i];
		if (trigger->held || strcmp(trigger->name, name) != 0)
			continue;
		trigger->held = true;
		if (triggers->redis == NULL)
			open_redis(scheduler);
		else
			listen_to(scheduler, trigger);
		log_info("trigger '%s': this host acts on %s %s", name,
		    trigger->pattern ? "pattern" : "channel", trigger->channel);
	}
}

static void
on_locks(PGresult *result, void *argument)
{
	struct scheduler *scheduler = argument;
	scheduler->triggers.asked = false;
	if (result == NULL)
		return;
	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		log_warning("the locks of triggers were not taken: %s",
		    pg_message(result));
		return;
	}
	for (int row = 0; row < PQntuples(result); row++)
		hold(scheduler, PQgetvalue(result, row, 0));
}

/* Those that nobody holds are ours from now on. */
static void
ask_locks(struct scheduler *scheduler)
{
	struct triggers *triggers = &scheduler->triggers;
	struct text names = TEXT_EMPTY;
	if (!triggers->in || triggers->asked)
		return;
	for (size_t i = 0; i < triggers->count; i++) {
		const char *name = triggers->items[i]->name;
		if (triggers->items[i]->held)
			continue;
		text_add_char(&names, names.length == 0 ? '{' : ',');
		text_add_array_item(&names, name, strlen(name));
	}
	if (names.length > 0) {
		text_add_char(&names, '}');
		const char *values[] = {text_string(&names)};
		triggers->asked = pg_send(triggers->pg, &scheduler_hold, values,
				      on_locks, scheduler) == 0;
	}
	text_free(&names);
}

static void
on_let_go(PGresult *result, void *argument)
{
	(void)argument;
	if (result != NULL && PQresultStatus(result) != PGRES_TUPLES_OK)
		log_warning("the lock of a trigger was not let go: %s",
		    pg_message(result));
}

/* Behind what is being enqueued: it goes with the lock still held. */
static void
let_go(struct scheduler *scheduler, const struct trigger *trigger)
{
	struct triggers *triggers = &scheduler->triggers;
	const char *values[] = {trigger->name};
	if (!is_shared(triggers, trigger) && triggers->redis != NULL)
		redis_unlisten(
		    triggers->redis, trigger->pattern, trigger->channel);
	if (pg_send(triggers->pg, &scheduler_let_go, values, on_let_go,
		scheduler) < 0)
		log_debug("the session of triggers is away");
}

/* The session. */

static void
arm(struct scheduler *scheduler)
{
	int64_t ms = TRIGGERS_ASK_MS / 2 +
		     (int64_t)((double)TRIGGERS_ASK_MS * backoff_random());
	struct timeval later = {
	    .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	event_add(scheduler->triggers.timer, &later);
}

static void
complain(struct scheduler *scheduler)
{
	const struct triggers *triggers = &scheduler->triggers;
	for (size_t i = 0; i < triggers->count; i++) {
		struct text sentence = TEXT_EMPTY;
		if (trigger_complaint(
			triggers->items[i], mono_now(), &sentence))
			log_warning("trigger '%s' dropped messages: %s",
			    triggers->items[i]->name, text_string(&sentence));
		text_free(&sentence);
	}
}

static void
on_timer(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct scheduler *scheduler = argument;
	struct busy busy = busy_enter("triggers");
	ask_locks(scheduler);
	complain(scheduler);
	pump(scheduler);
	arm(scheduler);
	busy_leave(busy);
}

static void
on_session(PGresult *result, void *argument)
{
	struct scheduler *scheduler = argument;
	if (result == NULL)
		return;
	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		pg_reset(scheduler->triggers.pg, pg_message(result));
		return;
	}
	scheduler->triggers.in = true;
	ask_locks(scheduler);
}

static void
on_ready(struct pg *pg, void *argument)
{
	struct scheduler *scheduler = argument;
	struct triggers *triggers = &scheduler->triggers;
	if (pg_is_pooled(pg)) {
		if (!triggers->pooled_told)
			log_warning("triggers do nothing through a pooler: "
				    "they need a session of their own. Name "
				    "PostgreSQL itself in direct_database");
		triggers->pooled_told = true;
		return;
	}
	if (pg_send(pg, &scheduler_own_session, NULL, on_session, scheduler) <
	    0)
		pg_reset(pg, "the session was lost");
}

/* Another host may act already: what came in is dropped, not kept. */
static void
lose(struct scheduler *scheduler, const char *why)
{
	struct triggers *triggers = &scheduler->triggers;
	triggers->in = triggers->asked = triggers->busy = false;
	triggers->sending = NULL;
	triggers->redis = redis_free(triggers->redis);
	for (size_t i = 0; i < triggers->count; i++) {
		triggers->items[i]->held = false;
		drop_all(scheduler, triggers->items[i], why);
	}
}

static void
on_lost(struct pg *pg, const char *reason, void *argument)
{
	(void)pg;
	log_debug("no session for triggers: %s", reason);
	lose(argument, "the session in the database was lost");
}

static void
open_session(struct scheduler *scheduler)
{
	static const struct pg_callbacks callbacks = {
	    .on_ready = on_ready, .on_lost = on_lost};
	const struct config *config = scheduler->config;
	struct pg_options options = {
	    .conninfo = config->direct_database != NULL
			    ? config->direct_database
			    : config->database,
	    .application_name = "musterd triggers",
	    .prepare =
		config->prepared_statements || config->direct_database != NULL,
	};
	scheduler->triggers.pg =
	    pg_new(scheduler->base, &options, &callbacks, scheduler);
	arm(scheduler);
}

static void
close_session(struct scheduler *scheduler)
{
	struct triggers *triggers = &scheduler->triggers;
	event_del(triggers->timer);
	triggers->pg = pg_free(triggers->pg);
	lose(scheduler, "nobody listens any more");
}

/* The configuration. */

/* One of ours that may go on as it is; it is taken out. NULL: none. */
static struct trigger *
take_out(struct triggers *old, const struct trigger_config *config)
{
	for (size_t i = 0; i < old->count; i++) {
		struct trigger *trigger = old->items[i];
		if (trigger == NULL || !trigger_adjust(trigger, config))
			continue;
		old->items[i] = NULL;
		return trigger;
	}
	return NULL;
}

static void
remove_one(struct scheduler *scheduler, struct trigger *trigger)
{
	struct triggers *triggers = &scheduler->triggers;
	if (triggers->sending == trigger)
		triggers->sending = NULL;
	if (trigger->held)
		let_go(scheduler, trigger);
	drop_all(scheduler, trigger, "it was removed or changed");
	trigger_free(trigger);
}

void
triggers_configure(struct scheduler *scheduler)
{
	struct triggers *triggers = &scheduler->triggers, old = *triggers;
	const struct config *config = scheduler->config;
	triggers->items = calloc(config->trigger_count + 1, sizeof(void *));
	if (triggers->items == NULL)
		abort();
	triggers->count = config->trigger_count;
	for (size_t i = 0; i < triggers->count; i++) {
		triggers->items[i] = take_out(&old, &config->triggers[i]);
		if (triggers->items[i] == NULL)
			triggers->items[i] = trigger_new(&config->triggers[i]);
	}
	for (size_t i = 0; i < old.count; i++)
		if (old.items[i] != NULL)
			remove_one(scheduler, old.items[i]);
	free(old.items);
	if (triggers->redis != NULL && !is_any_held(triggers))
		triggers->redis = redis_free(triggers->redis);
	if (triggers->count == 0 && triggers->pg != NULL)
		close_session(scheduler);
	else if (triggers->count > 0 && triggers->pg == NULL)
		open_session(scheduler);
	ask_locks(scheduler);
}

void
triggers_reopen(struct scheduler *scheduler)
{
	if (scheduler->triggers.pg == NULL)
		return;
	close_session(scheduler);
	open_session(scheduler);
}

void
triggers_open(struct scheduler *scheduler)
{
	scheduler->triggers.timer =
	    evtimer_new(scheduler->base, on_timer, scheduler);
	if (scheduler->triggers.timer == NULL)
		abort();
	triggers_configure(scheduler);
}

void
triggers_close(struct scheduler *scheduler)
{
	struct triggers *triggers = &scheduler->triggers;
	if (triggers->pg != NULL)
		close_session(scheduler);
	for (size_t i = 0; i < triggers->count; i++)
		trigger_free(triggers->items[i]);
	free(triggers->items);
	triggers->items = NULL;
	triggers->count = 0;
	event_free(triggers->timer);
}
