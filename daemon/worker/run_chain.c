/* Tasks that follow others of their chain: held, next, or given back. */
#include "daemon/worker/run_parts.h"
#include "daemon/worker/worker.h"

void
run_follow(
    struct worker *worker, struct running *running, struct running *first)
{
	running_table_add(&worker->table, running);
	if (first->state != RUNNING_BACKLOG) {
		run_give_back_one(worker, running);
		return;
	}
	chain_add(&worker->run.chains, first, running);
	running->shares = running->route->shares;
	share_set_follows(&running->shares);
	run_watch_for_stuck(worker);
}

void
run_leave_chain(struct worker *worker, struct running *running)
{
	chain_leave(&worker->run.chains, running);
	share_set_followed(&running->shares);
}

/* Those behind a task go back before it does, or with it. */
static void
give_back_behind(struct worker *worker, struct chain *chain)
{
	struct running *first = chain->first;

	while (first->chain != NULL)
		run_give_back_one(
		    worker, TAILQ_FIRST(&first->chain->followers));
}

void
run_pass_on(struct worker *worker, struct running *running)
{
	struct running *next;

	if (running->chain == NULL)
		return;
	if (running->finish.outcome == 'b' || running->maybe_recorded) {
		give_back_behind(worker, running->chain);
		return;
	}
	next = chain_advance(&worker->run.chains, running);
	running->passed_on = true;
	share_set_followed(&next->shares);
	run_enter_backlog(worker, next);
	turn_kick(worker);
}

static void
give_back_unread_of(struct worker *worker, struct chain *chain)
{
	struct running *running, *next;

	for (running = TAILQ_FIRST(&chain->followers); running != NULL;
	     running = next) {
		next = TAILQ_NEXT(running, link);
		if (running->task.attempt == 0)
			run_give_back_one(worker, running);
	}
}

void
run_give_back_unread(struct worker *worker)
{
	struct chain *chain, *next;

	for (chain = TAILQ_FIRST(&worker->run.chains); chain != NULL;
	     chain = next) {
		next = TAILQ_NEXT(chain, link);
		give_back_unread_of(worker, chain);
	}
}

void
run_give_back_followers(struct worker *worker)
{
	struct chain *chain;

	while ((chain = TAILQ_FIRST(&worker->run.chains)) != NULL)
		give_back_behind(worker, chain);
}

/* The one before them takes long, and others that hold slots of their key, or
 * are more urgent, may be better off with them in their line. What waits for a
 * slot of ours is in the backlog and is looked at there. */
void
run_look_at_chains(struct worker *worker, struct mono now)
{
	struct chain *chain, *next;

	for (chain = TAILQ_FIRST(&worker->run.chains); chain != NULL;
	     chain = next) {
		const struct running *first = chain->first;

		next = TAILQ_NEXT(chain, link);
		if (first->state != RUNNING_BACKLOG &&
		    mono_ms_between(first->slot_at, now) >=
			run_stuck_ms(worker, first->route))
			give_back_behind(worker, chain);
	}
}
