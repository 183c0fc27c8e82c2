#include "daemon/worker/chain.h"

#include <assert.h>
#include <stdlib.h>

static struct chain *
chain_new(struct chain_list *list, struct running *first)
{
	struct chain *chain = calloc(1, sizeof(*chain));

	if (chain == NULL)
		abort();
	chain->first = first;
	TAILQ_INIT(&chain->followers);
	TAILQ_INSERT_TAIL(list, chain, link);
	return chain;
}

void
chain_add(
    struct chain_list *list, struct running *first, struct running *follower)
{
	assert(first->state != RUNNING_FOLLOWING);
	if (first->chain == NULL)
		first->chain = chain_new(list, first);
	follower->chain = first->chain;
	follower->follower = true;
	follower->state = RUNNING_FOLLOWING;
	TAILQ_INSERT_TAIL(&follower->chain->followers, follower, link);
}

void
chain_leave(struct chain_list *list, struct running *follower)
{
	struct chain *chain = follower->chain;

	assert(follower->state == RUNNING_FOLLOWING);
	TAILQ_REMOVE(&chain->followers, follower, link);
	follower->chain = NULL;
	follower->state = RUNNING_CLAIMED;
	if (!TAILQ_EMPTY(&chain->followers))
		return;
	chain->first->chain = NULL;
	TAILQ_REMOVE(list, chain, link);
	free(chain);
}

struct running *
chain_advance(struct chain_list *list, struct running *first)
{
	struct chain *chain = first->chain;
	struct running *next = TAILQ_FIRST(&chain->followers);

	bool more = TAILQ_NEXT(next, link) != NULL;

	assert(chain->first == first);
	first->chain = NULL;
	chain->first = next;
	chain_leave(list, next);
	next->chain = more ? chain : NULL;
	return next;
}
