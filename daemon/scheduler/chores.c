#include "daemon/scheduler/chores.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/backoff.h"
#include "common/busy.h"
#include "common/log.h"
#include "common/text.h"
#include "daemon/scheduler/scheduler.h"
#include "daemon/scheduler/statements.h"
#include "daemon/scheduler/tell.h"

enum {
	MARK_MS = 1000,
	TIDY_MS = 1000,
	PURGE_MS = 60000,    /* at most, … */
	PURGE_MIN_MS = 1000, /* … at least, from one look to the next */
	LIST_CHANGE_MS = 1000,
	LIST_AGAIN_MS = 5000, /* another scheduler may have taken us off */
	LIST_BRIDGE_MS = 20,
	BUSY_MS = 1000, /* without a pause, before we leave the list */
	COMPLAIN_MS = 10000,
	DUE_AGAIN_MS = 20, /* what others hold, or what is due just now */
	FLOOR_MS = 100,	   /* between two calls of due without a floor */
	FIRE_FLOOR_MS = 10000,
	FIRE_MS = 1000, /* a schedule may be new */
};

static const struct {
	const struct pg_statement *statement;
	const char *doing;
} table[CHORES] = {
    [CHORE_LOOK] = {&scheduler_look, "looking for work"},
    [CHORE_CARRY_OUT] = {&scheduler_carry_out, "carrying out requests"},
    [CHORE_ADMIT] = {&scheduler_admit, "admitting tasks"},
    [CHORE_UNLOCK] = {&scheduler_unlock, "unlocking tasks"},
    [CHORE_DUE] = {&scheduler_due, "moving due tasks"},
    [CHORE_FOLD] = {&scheduler_fold, "folding flows"},
    [CHORE_EXPAND] = {&scheduler_expand, "expanding maps and flows"},
    [CHORE_MARK] = {&scheduler_mark, "marking the lanes"},
    [CHORE_TIDY] = {&scheduler_tidy, "tidying up"},
    [CHORE_PURGE] = {&scheduler_purge, "purging finished tasks"},
    [CHORE_FIRE] = {&scheduler_fire, "firing schedules"},
};

static void next(struct scheduler *scheduler);

static void
arm(struct event *timer, int64_t ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	event_add(timer, &tv);
}

/* So that many hosts don't come in step. */
static int64_t
spread(int64_t ms)
{
	return ms / 2 + (int64_t)((double)ms * backoff_random());
}

/* The list of sleepers. */

static void
on_listed(PGresult *result, void *argument)
{
	struct scheduler *scheduler = argument;
	if (result == NULL)
		return;
	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		log_warning("the list of sleepers was not changed: %s",
		    pg_message(result));
		scheduler->chores.listed = false;
	} else if (strcmp(PQgetvalue(result, 0, 0), "t") == 0) {
		chores_poke(scheduler); /* what came before was not told */
	}
}

static void
list(struct scheduler *scheduler, bool listed)
{
	char id[24];
	snprintf(id, sizeof id, "%" PRId64, scheduler->session.id);
	const char *on[] = {scheduler->instance, id};
	const char *off[] = {id};
	scheduler->chores.listed = listed;
	scheduler->chores.listed_changed = mono_now();
	if (listed)
		(void)session_send(
		    scheduler, &scheduler_sleep_on, on, on_listed);
	else
		(void)session_send(
		    scheduler, &scheduler_wake_up, off, on_listed);
}

/* Nothing is to be done: be told of what comes. */
static void
fall_asleep(struct scheduler *scheduler)
{
	struct chores *chores = &scheduler->chores;
	int64_t age_ms = mono_ms_between(chores->listed_changed, mono_now());
	int64_t due_ms = chores->listed ? LIST_AGAIN_MS : LIST_CHANGE_MS;
	chores->busy_since = (struct mono){0};
	if (age_ms >= due_ms) {
		list(scheduler, true);
	} else if (!chores->listed) {
		arm(chores->poll, LIST_BRIDGE_MS);
	}
}

static void
note_busy(struct scheduler *scheduler)
{
	struct chores *chores = &scheduler->chores;
	struct mono now = mono_now();
	if (chores->busy_since.us == 0)
		chores->busy_since = now;
	if (chores->listed &&
	    mono_ms_between(chores->busy_since, now) > BUSY_MS &&
	    mono_ms_between(chores->listed_changed, now) > LIST_CHANGE_MS)
		list(scheduler, false);
}

/* Answers. */

static int64_t
number(const PGresult *result, int column)
{
	return strtoll(PQgetvalue(result, 0, column), NULL, 10);
}

/* 0 means that there are more, which the plan sees by their number. Negative:
 * there is none. */
static int64_t
next_due_ms(const PGresult *result)
{
	if (PQgetisnull(result, 0, DUE_NEXT_IN_MS))
		return -1;
	int64_t ms = number(result, DUE_NEXT_IN_MS);
	return ms > 0 ? ms : DUE_AGAIN_MS;
}

static int
take_floor(struct chore_floor *floor, const PGresult *result)
{
	snprintf(floor->from, sizeof floor->from, "%s",
	    PQgetvalue(result, 0, DUE_FLOOR));
	return (int)number(result, DUE_MOVED);
}

static void
take_look(struct plan *plan, const PGresult *result)
{
	static const enum chore chores[LOOK_COLUMNS] = {
	    [LOOK_CARRY_OUT] = CHORE_CARRY_OUT,
	    [LOOK_ADMIT] = CHORE_ADMIT,
	    [LOOK_UNLOCK] = CHORE_UNLOCK,
	    [LOOK_FOLD] = CHORE_FOLD,
	    [LOOK_EXPAND] = CHORE_EXPAND,
	};

	for (int i = 0; i < LOOK_COLUMNS; i++)
		if (strcmp(PQgetvalue(result, 0, i), "t") == 0)
			plan_found(plan, chores[i]);
}

static int
take_due(struct scheduler *scheduler, const PGresult *result)
{
	struct chores *chores = &scheduler->chores;
	int64_t ms = next_due_ms(result);
	if (chores->due_floor.used && (ms < 0 || ms > FLOOR_MS))
		ms = FLOOR_MS; /* what the floor hid */
	plan_due_in(&chores->plan, ms, mono_now());
	return take_floor(&chores->due_floor, result);
}

static int
take_fire(struct scheduler *scheduler, const PGresult *result)
{
	struct chores *chores = &scheduler->chores;
	int64_t ms = next_due_ms(result);
	if (ms < 0 || ms > FIRE_MS)
		ms = FIRE_MS;
	plan_fire_in(&chores->plan, ms, mono_now());
	return take_floor(&chores->fire_floor, result);
}

static int
take_purge(struct scheduler *scheduler, const PGresult *result)
{
	int64_t ms = PURGE_MS;
	if (!PQgetisnull(result, 0, PURGE_NEXT_IN_MS))
		ms = number(result, PURGE_NEXT_IN_MS);
	if (ms > PURGE_MS)
		ms = PURGE_MS;
	if (ms < PURGE_MIN_MS)
		ms = PURGE_MIN_MS;
	plan_purge_in(&scheduler->chores.plan, spread(ms), mono_now());
	return (int)number(result, PURGE_DONE);
}

static int
take_rows(struct scheduler *scheduler, enum chore chore, const PGresult *result)
{
	switch (chore) {
	case CHORE_LOOK:
		take_look(&scheduler->chores.plan, result);
		return 0;
	case CHORE_DUE:
		return take_due(scheduler, result);
	case CHORE_FIRE:
		return take_fire(scheduler, result);
	case CHORE_PURGE:
		return take_purge(scheduler, result);
	case CHORE_FOLD:
		tell_flows(scheduler, result);
		return (int)number(result, FOLD_DONE);
	case CHORE_MARK:
		plan_mark_in(
		    &scheduler->chores.plan, spread(MARK_MS), mono_now());
		return 0;
	case CHORE_TIDY:
		plan_tidy_in(
		    &scheduler->chores.plan, spread(TIDY_MS), mono_now());
		return 0;
	default:
		return (int)number(result, 0);
	}
}

static void
complain(struct scheduler *scheduler, enum chore chore, const PGresult *result)
{
	struct mono now = mono_now();
	struct mono *last = &scheduler->chores.complained[chore];
	if (last->us != 0 && mono_ms_between(*last, now) < COMPLAIN_MS)
		return;
	*last = now;
	log_warning("%s failed, trying again: %s (SQLSTATE %s)",
	    table[chore].doing, pg_message(result), pg_sqlstate(result));
}

static void
on_answer(PGresult *result, void *argument)
{
	struct scheduler *scheduler = argument;
	struct chores *chores = &scheduler->chores;
	enum chore chore = chores->running;
	struct mono now = mono_now();
	int64_t ms = mono_ms_between(chores->sent, now);
	chores->busy = false;
	if (result == NULL || !chores->on)
		return; /* all starts anew with the next session */
	if (PQresultStatus(result) == PGRES_TUPLES_OK &&
	    PQntuples(result) >= 1) {
		int rows = take_rows(scheduler, chore, result);
		chores->rows[chore] += (uint64_t)rows;
		plan_done(&chores->plan, chore, rows, ms, now);
	} else {
		complain(scheduler, chore, result);
		plan_failed(&chores->plan, chore, now);
	}
	next(scheduler);
}

/* Sending. */

static bool
send_purge(struct scheduler *scheduler, const char *limit)
{
	const struct config *config = scheduler->config;
	struct text queues = TEXT_EMPTY, keep_ms = TEXT_EMPTY;
	for (size_t i = 0; i < config->queue_count; i++) {
		const struct queue_config *queue = &config->queues[i];
		text_add_char(&queues, i == 0 ? '{' : ',');
		text_add_array_item(&queues, queue->name, strlen(queue->name));
		text_add_char(&keep_ms, i == 0 ? '{' : ',');
		text_add_int(&keep_ms, queue->retention_ms);
	}
	text_add_string(&queues, config->queue_count > 0 ? "}" : "{}");
	text_add_string(&keep_ms, config->queue_count > 0 ? "}" : "{}");
	const char *values[] = {
	    limit, text_string(&queues), text_string(&keep_ms)};
	bool sent =
	    session_send(scheduler, &scheduler_purge, values, on_answer);
	text_free(&queues);
	text_free(&keep_ms);
	return sent;
}

/* What was stored late may lie below the floor: now and then there is none. */
static const char *
floor_of(struct chore_floor *floor, int64_t most_ms, struct mono now)
{
	floor->used = floor->from[0] != '\0' &&
		      mono_ms_between(floor->not_used, now) < most_ms;
	if (floor->used)
		return floor->from;
	floor->not_used = now;
	return NULL;
}

static bool
send_chore(struct scheduler *scheduler, enum chore chore)
{
	struct chores *chores = &scheduler->chores;
	char limit[16];
	snprintf(limit, sizeof limit, "%d", chores->plan.chores[chore].limit);
	if (chore == CHORE_PURGE)
		return send_purge(scheduler, limit);
	const char *values[] = {limit, NULL};
	if (chore == CHORE_DUE)
		values[1] =
		    floor_of(&chores->due_floor, FLOOR_MS, chores->sent);
	else if (chore == CHORE_FIRE)
		values[1] =
		    floor_of(&chores->fire_floor, FIRE_FLOOR_MS, chores->sent);
	else if (chore == CHORE_FOLD)
		values[1] = tell_wants_flows(scheduler) ? "t" : "f";
	return session_send(
	    scheduler, table[chore].statement, values, on_answer);
}

static void
next(struct scheduler *scheduler)
{
	struct chores *chores = &scheduler->chores;
	if (!chores->on || chores->busy)
		return;
	int64_t wait_ms;
	enum chore chore = plan_next(&chores->plan, mono_now(), &wait_ms);
	if (chore == CHORE_NONE && plan_is_idle(&chores->plan)) {
		fall_asleep(scheduler);
		chore = plan_next(&chores->plan, mono_now(), &wait_ms);
	} else if (chore != CHORE_NONE) {
		note_busy(scheduler);
	}
	if (chore == CHORE_NONE) {
		arm(chores->timer, wait_ms);
		return;
	}
	chores->running = chore;
	chores->sent = mono_now();
	chores->busy = send_chore(scheduler, chore);
}

static void
on_timer(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct busy busy = busy_enter("chores");
	next(argument);
	busy_leave(busy);
}

static void
on_poll(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct scheduler *scheduler = argument;
	struct busy busy = busy_enter("poll");
	arm(scheduler->chores.poll,
	    spread(scheduler->config->poll_interval_ms));
	chores_poke(scheduler);
	busy_leave(busy);
}

void
chores_poke(struct scheduler *scheduler)
{
	plan_poke(&scheduler->chores.plan);
	next(scheduler);
}

void
chores_fire(struct scheduler *scheduler)
{
	plan_fire_in(&scheduler->chores.plan, 0, mono_now());
	next(scheduler);
}

void
chores_ask(struct scheduler *scheduler)
{
	plan_ask(&scheduler->chores.plan);
	next(scheduler);
}

void
chores_open(struct scheduler *scheduler)
{
	struct chores *chores = &scheduler->chores;
	chores->timer = evtimer_new(scheduler->base, on_timer, scheduler);
	chores->poll = evtimer_new(scheduler->base, on_poll, scheduler);
	if (chores->timer == NULL || chores->poll == NULL)
		abort();
	plan_init(&chores->plan, mono_now());
}

void
chores_close(struct scheduler *scheduler)
{
	event_free(scheduler->chores.timer);
	event_free(scheduler->chores.poll);
}

void
chores_start(struct scheduler *scheduler)
{
	struct chores *chores = &scheduler->chores;
	struct mono now = mono_now();
	plan_init(&chores->plan, now);
	plan_tidy_in(&chores->plan, spread(TIDY_MS), now);
	plan_purge_in(&chores->plan, spread(PURGE_MIN_MS), now);
	plan_fire_in(&chores->plan, 0, now);
	chores->on = true;
	chores->due_floor.from[0] = chores->fire_floor.from[0] = '\0';
	chores->listed = false;
	chores->listed_changed = mono_add_ms(now, -LIST_AGAIN_MS);
	arm(chores->poll, spread(scheduler->config->poll_interval_ms));
	next(scheduler);
}

void
chores_stop(struct scheduler *scheduler)
{
	struct chores *chores = &scheduler->chores;
	chores->on = false;
	event_del(chores->timer);
	event_del(chores->poll);
}
