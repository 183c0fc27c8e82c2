#include "daemon/worker/budget_ask.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/text.h"
#include "daemon/worker/row.h"
#include "daemon/worker/statements.h"
#include "daemon/worker/worker.h"

enum { NUMBER_SIZE = 24 };

static int
smaller(int a, int b)
{
	return a < b ? a : b;
}

static int
larger(int a, int b)
{
	return a > b ? a : b;
}

/* A kind is bounded by the queues in which it may stand. */
static int
slots_of_queues(const struct worker *worker, const struct share *kind)
{
	int sum = 0;

	for (int i = 0; i < worker->routes.count; i++) {
		const struct route *route = worker->routes.items[i];

		if (route->shares.kind == kind)
			sum = smaller(
			    sum + route->shares.queue->part, SHARE_NO_LIMIT);
	}
	return sum;
}

int
budget_part(const struct worker *worker, const struct budget *budget)
{
	int part = budget->share->part;

	if (!budget->known || worker_drain_is_on(worker))
		return 0;
	if (budget->scope == 'k')
		part = smaller(part, slots_of_queues(worker, budget->share));
	return part;
}

void
budget_judged(struct budget *budget, struct mono now)
{
	budget->judged = now;
	budget->share->most = budget->share->claimed;
}

static void
add(struct text *array, int64_t number)
{
	if (array->length > 1)
		text_add_char(array, ',');
	text_add_int(array, number);
}

static void
add_or_null(struct text *array, bool is_null, int64_t number)
{
	if (!is_null) {
		add(array, number);
		return;
	}
	if (array->length > 1)
		text_add_char(array, ',');
	text_add_string(array, "NULL");
}

static void
add_rate(struct text *array, double rate)
{
	if (array->length > 1)
		text_add_char(array, ',');
	if (rate > 0)
		text_addf(array, "%.17g", rate);
	else
		text_add_string(array, "NULL");
}

static void
add_name(struct text *array, const char *name)
{
	if (array->length > 1)
		text_add_char(array, ',');
	text_add_array_item(array, name, strlen(name));
}

/* What it keeps until the answer comes: what runs, where some is to go. */
static int
keep_of(const struct budget *budget)
{
	const struct share *share = budget->share;

	if (budget->max_running == 0)
		return 0;
	if (budget->contended || budget->held > budget->target ||
	    share->claimed < budget->held || budget->news)
		return smaller(budget->held, share->running);
	return budget->held;
}

/* How many slots it asks for at most; no more than it used, if it did not use
 * all that it has. */
static int
slots_wanted(const struct worker *worker, const struct budget *budget)
{
	const struct share *share = budget->share;
	int part = budget_part(worker, budget);

	if (budget->unused && budget->held > share->most)
		part = smaller(part, share->most);
	return part;
}

/* How many starts it has room for beside what waits here. */
static int
starts_wanted(
    const struct worker *worker, const struct budget *budget, struct mono now)
{
	const struct share *share = budget->share;

	if (!share->rated || budget_part(worker, budget) == 0)
		return 0;
	if (budget->unused &&
	    mono_us_between(budget->judged, share->spent_at) < 0)
		return 0;
	return smaller(
	    share_slot_room(share, share, 0, worker->turn.us, now), CLAIM_MAX);
}

/* Some of its tokens may go. */
static bool
gives_tokens(const struct budget *budget)
{
	return budget->unused || budget->news;
}

static int
tokens_due(const struct budget *budget)
{
	int waiting = budget->share->claimed - budget->share->running;

	return gives_tokens(budget) ? waiting : larger(waiting, budget->left);
}

static void
add_budget(
    const struct worker *worker, struct budget *budget, struct text *arrays)
{
	const struct share *share = budget->share;
	const char scope[] = {budget->scope, '\0'};
	struct mono now = mono_now();

	budget->keep = keep_of(budget);
	budget->left = share->rated ? share->tokens : 0;
	add_name(&arrays[BORROW_SCOPES], scope);
	add_name(&arrays[BORROW_NAMES], share->name);
	add_or_null(
	    &arrays[BORROW_MAX], budget->max_running == 0, budget->max_running);
	add_rate(&arrays[BORROW_RATES], budget->rate.per_s);
	add_or_null(&arrays[BORROW_BURSTS], budget->rate.per_s <= 0,
	    budget->rate.burst);
	add(&arrays[BORROW_PARTS], slots_wanted(worker, budget));
	add(&arrays[BORROW_BUSY], share->most);
	add(&arrays[BORROW_KEEP], budget->keep);
	add(&arrays[BORROW_LEFT], budget->left);
	add(&arrays[BORROW_SPENT_MS],
	    share->spent_at.us == 0 ? 0
				    : mono_ms_between(share->spent_at, now));
	add(&arrays[BORROW_DUE], tokens_due(budget));
	add(&arrays[BORROW_ROOM], starts_wanted(worker, budget, now));
}

/* Nothing is used but what it keeps. */
static void
freeze(struct budget *budget)
{
	if (gives_tokens(budget))
		budget->share->tokens = budget->left = 0;
	budget->more = budget->news = budget->unused = false;
	budget->asked = mono_now();
	budget_judged(budget, budget->asked);
	budget->held = budget->keep;
	if (budget->max_running > 0)
		share_lend(
		    budget->share, smaller(budget->keep, budget->target));
}

/* Some of those that were left may be used by now. */
static void
take_tokens(struct budget *budget, int tokens)
{
	struct share *share = budget->share;

	budget->granted = tokens;
	share->tokens += tokens - budget->left;
}

/* True: it has more than before. */
static bool
take(struct budget *budget, const PGresult *result, int row)
{
	struct share *share = budget->share;
	int64_t wait_ms = row_int(result, row, BORROW_WAIT_MS);
	int before = share->limit;

	budget->held = (int)row_int(result, row, BORROW_HELD);
	budget->target = (int)row_int(result, row, BORROW_TARGET);
	budget->contended = row_bool(result, row, BORROW_CONTENDED);
	budget->was_short = row_bool(result, row, BORROW_SHORT);
	budget->nothing =
	    share->claimed == 0 && row_int(result, row, BORROW_READY) == 0;
	budget->more |= wait_ms > 0;
	if (wait_ms > BUDGET_TOKEN_MS)
		wait_ms = BUDGET_TOKEN_MS;
	budget->again = mono_add_ms(mono_now(), wait_ms);
	if (budget->max_running > 0)
		share_lend(share, smaller(budget->held, budget->target));
	if (share->rated)
		take_tokens(budget, (int)row_int(result, row, BORROW_TOKENS));
	return share->limit > before ||
	       (share->rated && share_token_room(share) > 0);
}

/* The row of the n-th that was asked for; -1: there is none. */
static int
find_row(const PGresult *result, int n)
{
	for (int row = 0; row < PQntuples(result); row++)
		if (row_int(result, row, BORROW_ITEM) == n)
			return row;
	return -1;
}

static void
take_all(struct worker *worker, const PGresult *result)
{
	struct budget_list *list = &worker->budgets;
	bool gained = false;
	int n = 0;

	for (int i = 0; i < list->count; i++) {
		struct budget *budget = &list->items[i];
		int row;

		if (!budget->sent)
			continue;
		row = find_row(result, ++n);
		if (row >= 0 && budget->known)
			gained |= take(budget, result, row);
	}
	if (gained && !worker_drain_is_on(worker))
		turn_ask(worker);
}

/* Those without a limit, of which the database knows by now. */
static void
drop_gone(struct budget_list *list)
{
	int kept = 0;

	for (int i = 0; i < list->count; i++)
		if (list->items[i].known || list->items[i].news)
			list->items[kept++] = list->items[i];
	list->count = kept;
}

/* Asks again, soon or not at all if nothing is missed. */
static void
failed(struct budget_list *list, bool soon)
{
	for (int i = 0; i < list->count; i++) {
		if (!list->items[i].sent)
			continue;
		list->items[i].was_short = true;
		list->items[i].news |= soon;
	}
}

static void
on_answer(PGresult *result, void *argument)
{
	struct worker *worker = argument;
	struct budget_list *list = &worker->budgets;

	list->asking = false;
	if (result == NULL) {
		failed(list, true);
		return;
	}
	if (PQresultStatus(result) == PGRES_TUPLES_OK) {
		take_all(worker, result);
		drop_gone(list);
	} else {
		log_warning("borrowing of the limits across hosts failed, "
			    "trying again: %s (SQLSTATE %s)",
		    pg_message(result), pg_sqlstate(result));
		failed(list, false);
	}
	turn_kick(worker);
}

void
budget_ask(struct worker *worker)
{
	struct budget_list *list = &worker->budgets;
	struct text arrays[BORROW_PARAMETERS] = {0};
	const char *values[BORROW_PARAMETERS];
	char id[NUMBER_SIZE];

	snprintf(id, sizeof(id), "%" PRId64, worker->member.id);
	for (int i = 0; i < BORROW_PARAMETERS; i++)
		text_add_char(&arrays[i], '{');
	for (int i = 0; i < list->count; i++)
		if (list->items[i].sent)
			add_budget(worker, &list->items[i], arrays);
	for (int i = 0; i < BORROW_PARAMETERS; i++) {
		text_add_char(&arrays[i], '}');
		values[i] = text_string(&arrays[i]);
	}
	values[BORROW_WORKER] = id;
	list->asking = pg_send(worker->pg, &statement_borrow, values, on_answer,
			   worker) == 0;
	for (int i = 0; i < list->count && list->asking; i++)
		if (list->items[i].sent)
			freeze(&list->items[i]);
	for (int i = 0; i < BORROW_PARAMETERS; i++)
		text_free(&arrays[i]);
}
