#include "daemon/worker/claim.h"

#include "daemon/worker/pace.h"

static void
open_array(struct text *array)
{
	text_clear(array);
	text_add_char(array, '{');
}

static void
add_number(struct text *array, int64_t number)
{
	if (array->length > 1)
		text_add_char(array, ',');
	text_add_int(array, number);
}

static void
open_arrays(struct claim *claim)
{
	open_array(&claim->routes);
	open_array(&claim->wants);
	open_array(&claim->chains);
	open_array(&claim->floor_routes);
	open_array(&claim->floor_ranks);
	open_array(&claim->floor_lanes);
	open_array(&claim->floor_seqs);
	claim->max = 0;
	claim->followers = 0;
	claim->max_bytes = 0;
	claim->eager = 0;
	claim->grouped = false;
}

static void
close_arrays(struct claim *claim)
{
	text_add_char(&claim->routes, '}');
	text_add_char(&claim->wants, '}');
	text_add_char(&claim->chains, '}');
	text_add_char(&claim->floor_routes, '}');
	text_add_char(&claim->floor_ranks, '}');
	text_add_char(&claim->floor_lanes, '}');
	text_add_char(&claim->floor_seqs, '}');
}

void
claim_nothing(struct claim *claim, const struct route_list *routes)
{
	for (int i = 0; i < routes->count; i++) {
		struct route *route = routes->items[i];

		route->want = route->got = route->followed = 0;
	}
	open_arrays(claim);
	close_arrays(claim);
}

static int
smaller(int a, int b)
{
	return a < b ? a : b;
}

static bool
is_paused(const struct route *route, const struct claim_facts *facts)
{
	return mono_us_between(facts->now, route->paused_until) > 0;
}

/* What a share has for tasks of a route; nothing ahead while that pauses. */
static int
room_in(const struct share *share, const struct route *route, int promised,
    const struct claim_facts *facts)
{
	if (is_paused(route, facts))
		return share_free(share);
	return share_room(
	    share, route->shares.kind, promised, facts->turn_us, facts->now);
}

/* Without its queue's bound. */
static int
room_of(const struct route *route, const struct claim_facts *facts)
{
	const struct share_set *set = &route->shares;
	int room;

	if (route->binding == NULL)
		return 0;
	room = room_in(set->kind, route, 0, facts);
	if (set->pool != NULL)
		room = smaller(room, room_in(set->pool, route, 0, facts));
	return smaller(room, CLAIM_MAX);
}

/* Where starts take tokens, more than those must not be held. */
static int
chain_of(const struct route *route, const struct claim_facts *facts)
{
	const struct share_set *set = &route->shares;

	if (is_paused(route, facts) || set->queue->rated || set->kind->rated)
		return 0;
	return share_chain(set->kind, facts->turn_us);
}

/* With so much room: fewer if others followed each of the last ones. */
static int
wanted_of(const struct route *route, int room)
{
	int together = (int)route->together;

	if (together > route->chain)
		together = route->chain + 1;
	return together > 1 ? (room + together - 1) / together : room;
}

static void
add_floors(struct claim *claim, const struct floors *floors, int32_t route)
{
	const struct floor *floor;
	size_t count;

	floor = floors_of(floors, route, &count);
	for (size_t i = 0; i < count; i++) {
		add_number(&claim->floor_routes, floor[i].route);
		add_number(&claim->floor_ranks, floor[i].rank);
		add_number(&claim->floor_lanes, floor[i].lane);
		add_number(&claim->floor_seqs, floor[i].seq);
	}
}

/* Routes of a queue: those of brief tasks, or the others. */
struct group {
	bool brief;
	const struct share *share; /* the queue's, or that of its longer ones */
	struct share_bound *bound;
	int promised;		 /* of its slots, to the other group */
	int room;		 /* for all of them together */
	int count;		 /* routes */
	int followers;		 /* beside the tasks that are wanted */
	int wanted, eager, sure; /* tasks: all, of routes that may have
				    more, of those that just gave some */
};

static bool
is_of_group(const struct route *route, const struct claim_facts *facts,
    const struct share *queue, bool brief)
{
	return route->shares.queue == queue &&
	       share_is_brief(route->shares.kind, facts->turn_us) == brief;
}

/* `room`: what its group has for tasks of its kind. Together they get what the
 * slowest of those would that gave some last time, or of all if none did. */
static void
add_want(struct group *group, const struct route *route, int room)
{
	bool first = route->gave ? group->sure == 0 : group->count == 0;

	if (first)
		group->room = room;
	else if (route->gave || group->sure == 0)
		group->room = smaller(group->room, room);
	if (route->gave)
		group->sure += route->want;
	if (!route->drained)
		group->eager += route->want;
	group->count++;
	group->wanted += route->want;
}

/* Before it is known how many follow each, more may come than turns tell: then
 * less is asked for, until they have. */
static int
most_of(const struct claim_facts *facts)
{
	const int least = CLAIM_MAX / 4;

	if (facts->finished <= CLAIM_MAX)
		return CLAIM_MAX;
	if (facts->finished >= (size_t)(CLAIM_MAX * 2 - least))
		return least;
	return CLAIM_MAX * 2 - (int)facts->finished;
}

/* No more than there is room for besides, until it is known how many follow
 * each. */
static int
followers_of(const struct route *route, int room)
{
	int followers = route->want * route->chain;

	return smaller(followers, room);
}

static void
find_wants(const struct claim_facts *facts, const struct share *queue,
    struct group *group)
{
	group->room = share_free(group->share);
	for (int i = 0; i < facts->routes->count; i++) {
		struct route *route = facts->routes->items[i];
		int room, slots;

		if (!is_of_group(route, facts, queue, group->brief))
			continue;
		room = room_in(group->share, route, group->promised, facts);
		slots = smaller(room_of(route, facts), room);
		route->chain = chain_of(route, facts);
		if (route->chain > 0)
			slots = smaller(slots, most_of(facts));
		route->want = wanted_of(route, slots);
		route->bound = group->bound;
		if (route->want > 0)
			add_want(group, route, room);
		group->followers += followers_of(route, slots);
	}
	if (group->count == 1)
		group->room = group->wanted;
	group->wanted = smaller(group->wanted, group->room);
	group->eager = smaller(group->eager, group->room);
	group->sure = smaller(group->sure, group->room);
	*group->bound = (struct share_bound){.room = group->room};
}

static void
add_want_of(struct claim *claim, int route, int want, int chain)
{
	add_number(&claim->routes, route);
	add_number(&claim->wants, want);
	add_number(&claim->chains, chain);
}

static void
add_wants(struct claim *claim, const struct claim_facts *facts,
    const struct share *queue, const struct group *group)
{
	for (int i = 0; i < facts->routes->count; i++) {
		const struct route *route = facts->routes->items[i];

		if (route->want == 0 ||
		    !is_of_group(route, facts, queue, group->brief))
			continue;
		add_want_of(claim, route->id, route->want, route->chain);
		add_floors(claim, facts->floors, route->id);
	}
}

/* One route needs no bound but its own, unless it would fall under that of the
 * routes before it. */
static void
add_groups(struct claim *claim, const struct claim_facts *facts,
    const struct share *queue, const struct group *first,
    const struct group *second)
{
	int count = first->count + second->count, room = queue->all.room;
	bool bounded = first->count > 1 && first->room < room;

	if (count > 1 || (count == 1 && claim->grouped)) {
		add_want_of(claim, CLAIM_BOUND_QUEUE, room, 0);
		claim->grouped = true;
	}
	if (bounded)
		add_want_of(claim, CLAIM_BOUND_GROUP, first->room, 0);
	add_wants(claim, facts, queue, first);
	if (second->count > 0 &&
	    (bounded || (second->count > 1 && second->room < room)))
		add_want_of(claim, CLAIM_BOUND_GROUP, second->room, 0);
	add_wants(claim, facts, queue, second);
}

/*
 * The slots of a queue are for both groups: slots that longer tasks wait for
 * are none on which brief ones may count, and all get no more than what one
 * group alone would get at most.
 */
static void
add_queue(
    struct claim *claim, const struct claim_facts *facts, struct share *queue)
{
	struct group longer = {.share = queue->longer, .bound = &queue->others};
	struct group brief = {
	    .brief = true, .share = queue, .bound = &queue->brief};
	int room = share_free(queue);

	find_wants(facts, queue, &longer);
	brief.promised = longer.sure;
	find_wants(facts, queue, &brief);
	if (room < brief.wanted)
		room = brief.wanted;
	if (room < longer.wanted)
		room = longer.wanted;
	queue->all = (struct share_bound){.room = room};
	add_groups(claim, facts, queue, &brief, &longer);
	claim->max += smaller(brief.wanted + longer.wanted, room);
	claim->followers += brief.followers + longer.followers;
	claim->eager += smaller(brief.eager + longer.eager, room);
}

static bool
is_reached(const struct share_bound *bound)
{
	return bound->got >= bound->room;
}

/* `looked`: the turn looked for all that it wanted of the route. */
static void
learn(struct route *route, bool looked, bool cut)
{
	route->passed = !looked && !cut && route->got == 0 &&
			(route->drained || route->passed);
	route->drained = looked && route->got < route->want;
	route->gave = route->got > 0 && !route->drained;
}

/* How many follow each. In a claim that is full it was not their lines that
 * were short: next time more are asked for behind fewer. */
static void
learn_together(struct route *route, bool full)
{
	if (route->got == 0)
		return;
	route->together = 1 + (double)route->followed / route->got;
	if (full && route->followed > 0)
		route->together *= 2;
}

void
claim_learn(const struct claim *claim, const struct route_list *routes,
    int total, bool cut)
{
	int all = 0;
	bool whole, full;

	for (int i = 0; i < routes->count; i++) {
		struct route *route = routes->items[i];

		if (route->want == 0) {
			/* What this turn has unlocked is not told to us. */
			route->drained = false;
			continue;
		}
		route->bound->got += route->got;
		route->shares.queue->all.got += route->got;
		all += route->got + route->followed;
	}
	full = all >= claim->max + claim->followers;
	whole = !cut && total < claim->max && !full;
	for (int i = 0; i < routes->count; i++)
		learn_together(routes->items[i], full);
	for (int i = 0; i < routes->count; i++) {
		struct route *route = routes->items[i];

		if (route->want > 0)
			learn(route,
			    whole && !is_reached(route->bound) &&
				!is_reached(&route->shares.queue->all),
			    cut);
	}
}

void
claim_plan(struct claim *claim, const struct claim_facts *facts)
{
	claim_nothing(claim, facts->routes);
	open_arrays(claim);
	if (facts->held_bytes + CLAIM_LEAST <= CLAIM_HELD) {
		claim->max_bytes =
		    smaller(CLAIM_BYTES, CLAIM_HELD - (int)facts->held_bytes);
		for (int i = 0; i < facts->queues->count; i++)
			add_queue(claim, facts, facts->queues->items[i]);
		claim->max = smaller(claim->max, CLAIM_MAX);
		claim->followers = smaller(claim->followers, CLAIM_MAX);
	}
	close_arrays(claim);
}

/* A claim for it would be of no use now. */
static bool
is_supplied(const struct route *route, const struct claim_facts *facts)
{
	const struct share_set *set = &route->shares;

	if (route->waiting == 0 &&
	    (route->drained || route->passed || room_of(route, facts) == 0))
		return true;
	return share_is_supplied(set->queue, facts->turn_us) ||
	       share_is_supplied(set->kind, facts->turn_us) ||
	       (set->pool != NULL &&
		   share_is_supplied(set->pool, facts->turn_us));
}

int
claim_wait_ms(const struct claim_facts *facts)
{
	int ms = 0;

	for (int i = 0; i < facts->routes->count; i++) {
		const struct route *route = facts->routes->items[i];
		int company_ms = share_company_ms(route->shares.kind);

		if (!is_supplied(route, facts))
			return 0;
		if (route->waiting > 0)
			ms = ms == 0 ? company_ms : smaller(ms, company_ms);
	}
	return facts->ended_flow ? smaller(ms, PACE_FLOW_MS) : ms;
}

void
claim_free(struct claim *claim)
{
	text_free(&claim->routes);
	text_free(&claim->wants);
	text_free(&claim->chains);
	text_free(&claim->floor_routes);
	text_free(&claim->floor_ranks);
	text_free(&claim->floor_lanes);
	text_free(&claim->floor_seqs);
}

void
claim_pause(struct route *route, struct mono now)
{
	route->pause_ms =
	    route->pause_ms == 0 ? CLAIM_PAUSE_MS : route->pause_ms * 2;
	if (route->pause_ms > CLAIM_PAUSE_MAX_MS)
		route->pause_ms = CLAIM_PAUSE_MAX_MS;
	route->paused_until = mono_add_ms(now, route->pause_ms);
}

void
claim_resume(struct route *route)
{
	route->pause_ms = 0;
}
