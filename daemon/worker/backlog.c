#include "daemon/worker/backlog.h"

#include <stdlib.h>

static const struct running *
head(const struct backlog_lane *lane)
{
	return TAILQ_FIRST(&lane->tasks);
}

static struct backlog_lane *
lane_of(struct backlog *backlog, const struct running *running)
{
	struct backlog_lane *lane;

	TAILQ_FOREACH(lane, backlog, link)
	if (head(lane)->route == running->route &&
	    head(lane)->urgency == running->urgency)
		return lane;
	lane = calloc(1, sizeof(*lane));
	if (lane == NULL)
		abort();
	TAILQ_INIT(&lane->tasks);
	TAILQ_INSERT_TAIL(backlog, lane, link);
	return lane;
}

void
backlog_add(struct backlog *backlog, struct running *running)
{
	running->lane = lane_of(backlog, running);
	if (running->follower)
		TAILQ_INSERT_HEAD(&running->lane->tasks, running, link);
	else
		TAILQ_INSERT_TAIL(&running->lane->tasks, running, link);
	running->route->waiting++;
}

void
backlog_remove(struct backlog *backlog, struct running *running)
{
	struct backlog_lane *lane = running->lane;

	TAILQ_REMOVE(&lane->tasks, running, link);
	running->route->waiting--;
	running->lane = NULL;
	if (!TAILQ_EMPTY(&lane->tasks))
		return;
	TAILQ_REMOVE(backlog, lane, link);
	free(lane);
}

static bool
goes_before(const struct running *one, const struct running *other)
{
	int64_t later_ms = mono_ms_between(other->claimed, one->claimed);

	if (later_ms >= BACKLOG_PATIENCE_MS)
		return false;
	return one->urgency < other->urgency ||
	       later_ms <= -BACKLOG_PATIENCE_MS;
}

struct running *
backlog_next(const struct backlog *backlog)
{
	const struct backlog_lane *lane;
	struct running *next = NULL;

	TAILQ_FOREACH(lane, backlog, link)
	{
		struct running *first = TAILQ_FIRST(&lane->tasks);

		if ((next == NULL || goes_before(first, next)) &&
		    share_set_can_start(&first->shares))
			next = first;
	}
	return next;
}

struct running *
backlog_oldest(const struct backlog *backlog, const struct route *route)
{
	const struct backlog_lane *lane;
	struct running *oldest = NULL;

	TAILQ_FOREACH(lane, backlog, link)
	{
		struct running *first = TAILQ_FIRST(&lane->tasks);

		if (first->route == route &&
		    (oldest == NULL || first->claimed.us < oldest->claimed.us))
			oldest = first;
	}
	return oldest;
}
