/*
 * Routes: pairs of a queue and a kind, numbered by the database. A worker asks
 * for tasks by route. They live as long as the worker; one that is no longer
 * configured has no binding, and nothing is asked for it.
 */
#ifndef DAEMON_WORKER_ROUTE_H
#define DAEMON_WORKER_ROUTE_H

#include "daemon/worker/generation.h"
#include "daemon/worker/running.h"
#include "daemon/worker/share.h"

struct route {
	int id;
	struct share_set shares;
	struct binding *binding; /* in force; NULL: none */
	int waiting;		 /* its tasks in the backlog */
	int want, got;		 /* in the last turn */
	int chain;		 /* asked for behind each of them */
	int followed;		 /* came so, behind all of them */
	double together; /* one and what follows it, as last seen; 0: unknown */
	struct share_bound *bound; /* of its group then */
	bool drained;		   /* it gave less than was wanted */
	bool passed;	  /* it was like that, and was not looked at since */
	bool gave;	  /* some, and it may have more */
	int64_t pause_ms; /* after tasks of it had to be given back */
	struct mono paused_until;
};

struct route_list {
	struct route **items; /* owned; by id */
	int count;
};

/* NULL: not there. */
struct route *route_find(const struct route_list *list, int id);
/* Finds or adds it. */
struct route *route_get(
    struct route_list *list, int id, struct share *queue, struct share *kind);
void route_list_free(struct route_list *list);

#endif
