/* The question itself: muster.borrow. Private to budget*.c. */
#ifndef DAEMON_WORKER_BUDGET_ASK_H
#define DAEMON_WORKER_BUDGET_ASK_H

#include "common/clock.h"

struct budget;
struct worker;

/* Asks for the budgets that are marked as sent. */
void budget_ask(struct worker *worker);

/* How many slots it could use at most, whatever is lent. */
int budget_part(const struct worker *worker, const struct budget *budget);

/* From now on is looked at what it uses. */
void budget_judged(struct budget *budget, struct mono now);

#endif
