#include "daemon/worker/floors.h"

#include <stdlib.h>
#include <string.h>

static int
compare(const struct floor *a, const struct floor *b)
{
	if (a->route != b->route)
		return a->route < b->route ? -1 : 1;
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	return a->lane < b->lane ? -1 : a->lane > b->lane;
}

/* The index of the first item that is not before `key`. */
static size_t
search(const struct floors *floors, const struct floor *key)
{
	size_t low = 0, high = floors->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (compare(&floors->items[middle], key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void
insert(struct floors *floors, size_t at, const struct floor *floor)
{
	if (floors->count == floors->capacity) {
		floors->capacity = floors->capacity * 2 + 16;
		floors->items = reallocarray(
		    floors->items, floors->capacity, sizeof(floors->items[0]));
		if (floors->items == NULL)
			abort();
	}
	memmove(&floors->items[at + 1], &floors->items[at],
	    (floors->count - at) * sizeof(floors->items[0]));
	floors->items[at] = *floor;
	floors->count++;
}

void
floors_set(struct floors *floors, const struct floor *floor)
{
	size_t at = search(floors, floor);

	if (at < floors->count && compare(&floors->items[at], floor) == 0) {
		floors->items[at].seq = floor->seq;
		return;
	}
	if (floors->count >= FLOORS_MAX) {
		floors_forget(floors);
		at = 0;
	}
	insert(floors, at, floor);
}

void
floors_forget(struct floors *floors)
{
	free(floors->items);
	*floors = (struct floors){0};
}

const struct floor *
floors_of(const struct floors *floors, int32_t route, size_t *ret_count)
{
	struct floor key = {.route = route, .rank = INT32_MIN};
	size_t first, next;

	key.lane = INT32_MIN;
	first = search(floors, &key);
	for (next = first; next < floors->count; next++)
		if (floors->items[next].route != route)
			break;
	*ret_count = next - first;
	return next > first ? &floors->items[first] : NULL;
}
