/*
 * Chains: tasks of one concurrency key that were claimed together, to run one
 * after the other under one slot. The first of a chain is a task like any
 * other; the others follow. A follower is held, and nothing else: it stands in
 * no backlog and counts for no slot until all before it have left, in whatever
 * way; then it is the first.
 */
#ifndef DAEMON_WORKER_CHAIN_H
#define DAEMON_WORKER_CHAIN_H

#include <sys/queue.h>

#include "daemon/worker/running.h"

/* There is one while a task follows another. Its tasks point to it. */
struct chain {
	TAILQ_ENTRY(chain) link;
	struct running *first;
	struct running_list followers; /* in their order */
};

TAILQ_HEAD(chain_list, chain);

/* Last in the chain of `first`, which is no follower. Its state is
 * RUNNING_FOLLOWING from now on. */
void chain_add(
    struct chain_list *list, struct running *first, struct running *follower);
/* Out of its chain, which goes on without it; with the last follower it is
 * gone. The state is RUNNING_CLAIMED. */
void chain_leave(struct chain_list *list, struct running *follower);
/* `first` of a chain has left: returns the next, which is first now, and
 * RUNNING_CLAIMED. */
struct running *chain_advance(struct chain_list *list, struct running *first);

#endif
