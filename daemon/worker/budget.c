#include "daemon/worker/budget.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "common/busy.h"
#include "daemon/worker/budget_ask.h"
#include "daemon/worker/worker.h"

static void on_timer(evutil_socket_t fd, short what, void *argument);

void
budget_open(struct worker *worker)
{
	worker->budgets.timer = evtimer_new(worker->base, on_timer, worker);
}

void
budget_close(struct worker *worker)
{
	event_free(worker->budgets.timer);
	free(worker->budgets.items);
}

static struct budget *
budget_get(struct budget_list *list, struct share *share, char scope)
{
	struct budget *budget;

	for (int i = 0; i < list->count; i++)
		if (list->items[i].share == share)
			return &list->items[i];
	list->items = reallocarray(
	    list->items, (size_t)list->count + 1, sizeof(list->items[0]));
	if (list->items == NULL)
		abort();
	budget = &list->items[list->count++];
	*budget = (struct budget){
	    .share = share, .scope = scope, .judged = mono_now()};
	return budget;
}

/* What runs when the limit comes has its slots already. */
static void
set_max(struct budget *budget, int max_running)
{
	if (max_running == 0)
		share_unbind(budget->share);
	else if (budget->max_running == 0)
		budget->held = budget->target = budget->share->running;
	budget->max_running = max_running;
	if (max_running != 0)
		share_lend(budget->share, budget->target);
}

static void
set_rate(struct budget *budget, const struct rate_config *rate)
{
	if (!budget->share->rated)
		budget->share->tokens = 0;
	budget->share->rated = rate->per_s > 0;
	budget->rate = *rate;
}

static void
take_limits(struct budget_list *list, struct share *share, char scope,
    int max_running, const struct rate_config *rate)
{
	struct budget *budget;

	if (max_running == 0 && rate->per_s <= 0)
		return;
	budget = budget_get(list, share, scope);
	budget->known = budget->news = true;
	set_max(budget, max_running);
	set_rate(budget, rate);
}

void
budget_configure(struct worker *worker)
{
	static const struct rate_config none;
	const struct config *config = worker->config;
	struct budget_list *list = &worker->budgets;

	for (int i = 0; i < list->count; i++)
		list->items[i].known = false;
	for (size_t i = 0; i < config->queue_count; i++) {
		const struct queue_config *queue = &config->queues[i];

		take_limits(list,
		    share_list_get_queue(&worker->queues, queue->name), 'q',
		    queue->max_running, &queue->rate);
	}
	for (size_t i = 0; i < config->handler_count; i++) {
		const struct handler_config *handler = &config->handlers[i];

		take_limits(list, share_list_get(&worker->kinds, handler->kind),
		    'k', handler->max_running, &handler->rate);
	}
	for (int i = 0; i < list->count; i++) {
		if (list->items[i].known)
			continue;
		list->items[i].news = true;
		set_max(&list->items[i], 0);
		set_rate(&list->items[i], &none);
	}
}

void
budget_forget(struct worker *worker)
{
	struct budget_list *list = &worker->budgets;

	for (int i = 0; i < list->count; i++) {
		struct budget *budget = &list->items[i];

		budget->news = true;
		budget->sent = false;
		budget->held = budget->target = budget->share->running;
		budget->share->tokens = 0;
		if (budget->max_running > 0)
			share_lend(budget->share, budget->target);
	}
}

void
budget_told(struct worker *worker)
{
	struct budget_list *list = &worker->budgets;

	for (int i = 0; i < list->count; i++) {
		struct budget *budget = &list->items[i];

		budget->more = true;
		budget->news |= budget->held > 0;
	}
}

bool
budget_is_asking(const struct worker *worker)
{
	return worker->budgets.asking;
}

bool
budget_sleeps(const struct worker *worker)
{
	const struct budget_list *list = &worker->budgets;

	for (int i = 0; i < list->count; i++)
		if (list->items[i].nothing && list->items[i].known)
			return true;
	return false;
}

/* All its slots are taken, or tokens used, and it could use more. */
static bool
is_starved(const struct worker *worker, const struct budget *budget)
{
	const struct share *share = budget->share;
	int part = budget_part(worker, budget);

	if (budget->max_running > 0 && budget->held < part &&
	    share->claimed >= budget->held)
		return true;
	return share->rated && share->limit > 0 &&
	       share_token_room(share) <= budget->granted / 4;
}

static bool
is_excess(const struct budget *budget)
{
	return budget->max_running > 0 && budget->held > budget->target &&
	       budget->share->running < budget->held;
}

/* Some of it was not used since it was last judged. */
static bool
is_surplus(const struct budget *budget)
{
	const struct share *share = budget->share;

	if (budget->max_running > 0 &&
	    (budget->held > share->most ||
		(budget->contended && budget->held > 0)))
		return true;
	return share->rated && share->tokens > 0 &&
	       mono_us_between(budget->judged, share->spent_at) < 0;
}

static bool
holds(const struct budget *budget)
{
	return (budget->max_running > 0 && budget->held > 0) ||
	       (budget->share->rated && budget->share->tokens > 0);
}

static struct mono
later(struct mono a, struct mono b)
{
	return mono_us_between(a, b) > 0 ? b : a;
}

static struct mono
sooner(struct mono a, struct mono b)
{
	return mono_us_between(a, b) > 0 ? a : b;
}

/* Who needs more asks when something tells that there may be some, or has come
 * since it used all that it got; if there was too little, after a while. */
static struct mono
more_at(const struct worker *worker, struct budget *budget, struct mono never)
{
	const struct share *share = budget->share;

	if (!is_starved(worker, budget))
		return never;
	if (share->gained && (!budget->was_short || share->rated))
		budget->more = true;
	if (budget->more)
		return budget->again;
	return budget->was_short ? mono_add_ms(budget->asked, BUDGET_AGAIN_MS)
				 : never;
}

/* What is not used is looked for once in a while. */
static struct mono
less_at(struct budget *budget, struct mono now, struct mono never)
{
	struct mono at = mono_add_ms(budget->judged,
	    budget->contended ? BUDGET_CONTENDED_MS : BUDGET_IDLE_MS);

	budget->unused = false;
	if (!holds(budget))
		return never;
	if (mono_us_between(at, now) < 0)
		return at;
	budget->unused = is_surplus(budget);
	if (budget->unused)
		return at;
	budget_judged(budget, now);
	return mono_add_ms(now, BUDGET_IDLE_MS);
}

/* When it has something to ask; `never` if it has not. */
static struct mono
due_at(const struct worker *worker, struct budget *budget, struct mono now,
    struct mono never)
{
	struct mono at =
	    sooner(more_at(worker, budget, never), less_at(budget, now, never));

	if (budget->news || is_excess(budget))
		at = now;
	return later(at, mono_add_ms(budget->asked, BUDGET_APART_MS));
}

static void
arm(struct worker *worker, struct mono now, struct mono at)
{
	int64_t us = mono_us_between(now, at);
	struct timeval after = {
	    .tv_sec = us / 1000000, .tv_usec = us % 1000000};

	event_add(worker->budgets.timer, &after);
}

void
budget_look(struct worker *worker)
{
	struct budget_list *list = &worker->budgets;
	struct mono now, never, first;
	bool any = false;

	if (list->count == 0 || list->asking || !member_is_in(worker))
		return;
	now = mono_now();
	first = never = mono_add_ms(now, BUDGET_TOKEN_MS);
	for (int i = 0; i < list->count; i++) {
		struct budget *budget = &list->items[i];
		struct mono at;

		if (worker->turn.asked)
			budget->more = true;
		at = due_at(worker, budget, now, never);
		budget->share->gained = false;
		budget->sent = mono_us_between(at, now) >= 0;
		any |= budget->sent;
		first = sooner(first, at);
	}
	if (any)
		budget_ask(worker);
	else
		arm(worker, now, first);
}

static void
on_timer(evutil_socket_t fd, short what, void *argument)
{
	struct worker *worker = argument;
	struct busy busy = busy_enter("limits across hosts");

	(void)fd, (void)what;
	budget_look(worker);
	busy_leave(busy);
}
