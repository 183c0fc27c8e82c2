#include "daemon/worker/claim.h"

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
	open_array(&claim->floor_routes);
	open_array(&claim->floor_ranks);
	open_array(&claim->floor_lanes);
	open_array(&claim->floor_seqs);
	claim->max = 0;
	claim->max_bytes = 0;
	claim->eager = 0;
}

static void
close_arrays(struct claim *claim)
{
	text_add_char(&claim->routes, '}');
	text_add_char(&claim->wants, '}');
	text_add_char(&claim->floor_routes, '}');
	text_add_char(&claim->floor_ranks, '}');
	text_add_char(&claim->floor_lanes, '}');
	text_add_char(&claim->floor_seqs, '}');
}

void
claim_nothing(struct claim *claim, const struct route_list *routes)
{
	for (int i = 0; i < routes->count; i++)
		routes->items[i]->want = routes->items[i]->got = 0;
	open_arrays(claim);
	close_arrays(claim);
}

static int
smaller(int a, int b)
{
	return a < b ? a : b;
}

static int
room_of(const struct route *route, const struct claim_facts *facts)
{
	const struct share_set *set = &route->shares;
	int room;

	if (route->binding == NULL ||
	    mono_us_between(facts->now, route->paused_until) > 0)
		return 0;
	room = smaller(share_room(set->queue, facts->turn_us, facts->now),
	    share_room(set->kind, facts->turn_us, facts->now));
	if (set->pool != NULL)
		room = smaller(
		    room, share_room(set->pool, facts->turn_us, facts->now));
	return smaller(room, CLAIM_MAX);
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

/* The routes of a queue share its room, so it bounds what all get. */
static void
add_queue(struct claim *claim, const struct claim_facts *facts,
    const struct share *queue)
{
	int wanted = 0, eager = 0;
	int room = share_room(queue, facts->turn_us, facts->now);

	for (int i = 0; i < facts->routes->count; i++) {
		struct route *route = facts->routes->items[i];

		if (route->shares.queue != queue)
			continue;
		route->want = room_of(route, facts);
		if (route->want == 0)
			continue;
		wanted += route->want;
		if (!route->drained)
			eager += route->want;
		add_number(&claim->routes, route->id);
		add_number(&claim->wants, route->want);
		add_floors(claim, facts->floors, route->id);
	}
	claim->max += smaller(wanted, room);
	claim->eager += smaller(eager, room);
}

void
claim_learn(const struct claim *claim, const struct route_list *routes,
    int total, bool cut)
{
	for (int i = 0; i < routes->count; i++) {
		struct route *route = routes->items[i];

		if (route->want == 0)
			continue;
		route->drained =
		    !cut && total < claim->max && route->got < route->want;
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
	}
	close_arrays(claim);
}

void
claim_free(struct claim *claim)
{
	text_free(&claim->routes);
	text_free(&claim->wants);
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
