/*
 * How many processes a pool has. None at first; the first is started alone,
 * because it tells how many tasks each can have, and whether any can be
 * started at all. Then as many as what waits needs. One that ended before it
 * had done anything makes the next wait, longer each time.
 *
 * A worn process is drained at once when nobody misses it; else it works on
 * until the one that takes its place is ready.
 */
#include <event2/event.h>
#include <stdlib.h>

#include "common/busy.h"
#include "common/duration.h"
#include "daemon/handlers/pool.h"

enum {
	TICK_MS = 1000,
	PAUSE_FIRST_MS = 200,
	PAUSE_MAX_MS = 30000,
	PATIENCE_MS = 1000, /* tasks are kept waiting for such a pause */
	REST_MS = 1000,	    /* a process without work for so long is not
			       missed */
};

static void
arm(struct event *timer, int64_t ms)
{
	event_add(timer, &(struct timeval){
			     .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000});
}

/* Processes that take tasks, or will, but for those to be replaced. */
static int
lasting(const struct pool_size *size)
{
	return size->starting + size->ready - size->worn;
}

/* How many more processes there should be now. */
static int
wanted(const struct handler *pool)
{
	const struct pool_size *size = &pool->size;
	int room = size->max - lasting(size);
	int wanted =
	    (pool->waiting_count + size->concurrency - 1) / size->concurrency -
	    size->starting;
	int missing = size->known ? size->min - lasting(size) : 0;

	if (missing > wanted)
		wanted = missing;
	if (size->worn > 0 && size->starting == 0 && wanted < 1)
		wanted = 1;
	if ((!size->known || size->failures > 0) && wanted > 1 - size->starting)
		wanted = 1 - size->starting;
	return wanted < room ? wanted : room;
}

void
pool_size_give_back(
    struct handler *pool, enum outcome_kind kind, const char *error, int64_t ms)
{
	struct pool_task *task;

	while ((task = TAILQ_FIRST(&pool->waiting)) != NULL) {
		TAILQ_REMOVE(&pool->waiting, task, link);
		pool->waiting_count--;
		pool_task_report_error(pool, task, kind, error, ms);
	}
}

void
pool_size_failed(
    struct handler *pool, enum outcome_kind kind, const char *error)
{
	struct pool_size *size = &pool->size;
	struct log_context context = {.kind = pool->kind};
	int64_t ms = backoff_next(&size->backoff, backoff_random());
	struct text words = TEXT_EMPTY;

	if (pool->closed || pool->retired)
		return;
	size->failures++;
	size->pausing = true;
	size->next_start = mono_add_ms(mono_now(), ms);
	arm(size->pause, ms);
	pool_shown_update(pool);
	text_add_string(&words, "its processes fail, the next start is in ");
	duration_format(ms, &words);
	text_addf(&words, ": %s", error);
	log_write(LOG_LEVEL_WARNING, LOG_PLAIN, &context, "handler of %s: %s",
	    pool->kind, text_string(&words));
	pool->host.on_trouble(
	    pool->kind, text_string(&words), pool->host.argument);
	if (lasting(size) + size->worn > 0)
		; /* others work on */
	else if (kind == OUTCOME_CANNOT_RUN)
		pool_size_give_back(pool, kind, text_string(&words), -1);
	else if (ms > PATIENCE_MS)
		pool_size_give_back(pool, kind, text_string(&words), ms);
	text_free(&words);
	pool_work_soon(pool);
}

static void
start_one(struct handler *pool)
{
	struct text error = TEXT_EMPTY;
	bool later;
	struct pool_member *member = pool_member_new(pool, &error, &later);

	if (member == NULL) {
		pool_shown_crashed(pool, text_string(&error));
		pool_size_failed(pool,
		    later ? OUTCOME_TRY_LATER : OUTCOME_CANNOT_RUN,
		    text_string(&error));
		text_free(&error);
		return;
	}
	TAILQ_INSERT_TAIL(&pool->members, member, link);
	pool->size.starting++;
	pool_shown_started(pool);
	if (!evtimer_pending(pool->size.tick, NULL))
		arm(pool->size.tick, TICK_MS);
}

void
pool_size_grow(struct handler *pool)
{
	int want;

	if (pool->size.pausing)
		return;
	want = wanted(pool);
	if (want <= 0)
		return;
	start_one(pool);
	if (want > 1)
		pool_work_soon(pool);
}

static int
slots(const struct pool_member *member)
{
	if (member->full || member->running > member->concurrency)
		return member->running;
	return member->concurrency;
}

int
pool_size_capacity(const struct handler *pool)
{
	const struct pool_size *size = &pool->size;
	const struct pool_member *member;
	int more = size->max - lasting(size), sum = 0;

	TAILQ_FOREACH(member, &pool->members, link)
	if (member->state == MEMBER_READY)
		sum += slots(member);
	if (size->max == 0 || size->pausing || more < 0)
		more = 0;
	else if (size->failures > 0 && more > 1)
		more = 1;
	return sum + (more + size->starting) * size->concurrency;
}

void
pool_size_tell(struct handler *pool)
{
	int capacity = pool_size_capacity(pool);

	if (capacity == pool->size.told && !pool->draining)
		return;
	pool->size.told = capacity;
	if (!pool->closed)
		pool->host.on_changed(pool->host.argument);
}

/* What members tell. */

static struct pool_member *
find_worn(struct handler *pool)
{
	struct pool_member *member;

	TAILQ_FOREACH(member, &pool->members, link)
	if (member->worn && member->state == MEMBER_READY)
		return member;
	return NULL;
}

void
pool_member_is_ready(struct pool_member *member)
{
	struct handler *pool = member->pool;
	struct pool_size *size = &pool->size;
	struct pool_member *worn = find_worn(pool);

	size->starting--;
	size->ready++;
	size->known = true;
	size->concurrency = member->concurrency;
	if (worn != NULL)
		pool_member_drain(worn);
	pool_shown_update(pool);
	pool_work_soon(pool);
}

void
pool_member_leaves(struct pool_member *member, enum pool_member_state before)
{
	struct pool_size *size = &member->pool->size;

	if (before == MEMBER_STARTING)
		size->starting--;
	else
		size->ready--;
	size->worn -= member->worn;
	member->worn = false;
	pool_shown_update(member->pool);
	pool_work_soon(member->pool);
}

void
pool_member_is_gone(
    struct handler *pool, bool was_ready, const char *crashed, bool failed)
{
	if (crashed != NULL)
		pool_shown_crashed(pool, crashed);
	else
		pool_shown_update(pool);
	if (failed)
		pool_size_failed(pool,
		    was_ready ? OUTCOME_TRY_LATER : OUTCOME_CANNOT_RUN,
		    crashed);
	pool_work_soon(pool);
}

static void
wear_out(struct pool_member *member, const char *why)
{
	struct handler *pool = member->pool;
	struct log_context context = {.kind = pool->kind};
	int64_t rest_ms = mono_ms_between(member->idle_since, mono_now());

	log_write(LOG_LEVEL_INFO, LOG_PLAIN, &context,
	    "process %d of %s is to be replaced: %s", (int)member->pid,
	    pool->kind, why);
	if (member->running == 0 && rest_ms >= REST_MS &&
	    lasting(&pool->size) > pool->size.min) {
		pool_member_drain(member);
		return;
	}
	member->worn = true;
	pool->size.worn++;
	pool_work_soon(pool);
}

static bool
has_done_enough(const struct pool_member *member)
{
	int limit = member->pool->config->recycle.tasks;

	return limit > 0 && member->answered >= limit;
}

/* One at a time is replaced. */
static void
look_for_wear(struct pool_member *member)
{
	const struct recycle_config *limit = &member->pool->config->recycle;
	int64_t age_ms = mono_ms_between(member->started, mono_now());

	if (member->state != MEMBER_READY || member->pool->size.worn > 0)
		return;
	if (has_done_enough(member))
		wear_out(member, "it has done recycle.tasks");
	else if (limit->age_ms > 0 && age_ms >= limit->age_ms)
		wear_out(member, "it has reached recycle.age");
	else if (limit->memory_bytes > 0 &&
		 pool_member_memory(member) > limit->memory_bytes)
		wear_out(member, "it has more memory than recycle.memory");
}

void
pool_member_has_worked(struct pool_member *member)
{
	struct pool_size *size = &member->pool->size;

	if (member->answered == 1) {
		backoff_reset(&size->backoff);
		size->failures = 0;
		size->pausing = false;
		pool_shown_update(member->pool);
	}
	if (!member->pool->closed && has_done_enough(member))
		look_for_wear(member);
}

static void
look_for_idleness(struct pool_member *member, struct mono now)
{
	const struct handler *pool = member->pool;

	if (member->state == MEMBER_READY && member->running == 0 &&
	    lasting(&pool->size) > pool->size.min &&
	    mono_ms_between(member->idle_since, now) >=
		pool->config->idle_timeout_ms)
		pool_member_drain(member);
}

static void
on_tick(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct handler *pool = argument;
	struct busy busy = busy_enter("looking after a pool");
	struct mono now = mono_now();
	struct pool_member *member;

	if (!pool->closed) {
		TAILQ_FOREACH(member, &pool->members, link)
		{
			look_for_wear(member);
			look_for_idleness(member, now);
		}
		pool_shown_update(pool);
		if (!TAILQ_EMPTY(&pool->members))
			arm(pool->size.tick, TICK_MS);
	}
	busy_leave(busy);
}

/* The pause is over: the worker may claim again. */
static void
on_pause(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct handler *pool = argument;

	pool->size.pausing = false;
	pool_shown_update(pool);
	pool_work_soon(pool);
}

void
pool_size_open(struct handler *pool)
{
	const struct processes_config *processes = &pool->config->processes;
	const struct handler_host *host = &pool->host;
	struct pool_size *size = &pool->size;

	*size = (struct pool_size){.concurrency = 1,
	    .min = host->part(processes->min, host->argument),
	    .max = host->part(processes->max, host->argument),
	    .backoff = {.first_ms = PAUSE_FIRST_MS, .max_ms = PAUSE_MAX_MS},
	    .pause = evtimer_new(host->base, on_pause, pool),
	    .tick = evtimer_new(host->base, on_tick, pool)};
	if (size->pause == NULL || size->tick == NULL)
		abort();
	size->told = pool_size_capacity(pool);
}

void
pool_size_close(struct handler *pool)
{
	event_free(pool->size.pause);
	event_free(pool->size.tick);
}
