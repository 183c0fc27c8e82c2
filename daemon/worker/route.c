#include "daemon/worker/route.h"

#include <stdlib.h>
#include <string.h>

/* The index of the first that is not before `id`. */
static int
search(const struct route_list *list, int id)
{
	int low = 0, high = list->count;

	while (low < high) {
		int middle = (low + high) / 2;

		if (list->items[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct route *
route_find(const struct route_list *list, int id)
{
	int at = search(list, id);

	if (at < list->count && list->items[at]->id == id)
		return list->items[at];
	return NULL;
}

static struct route *
insert(struct route_list *list, int at)
{
	list->items = reallocarray(
	    list->items, (size_t)list->count + 1, sizeof(list->items[0]));
	if (list->items == NULL)
		abort();
	memmove(&list->items[at + 1], &list->items[at],
	    (size_t)(list->count - at) * sizeof(list->items[0]));
	list->items[at] = calloc(1, sizeof(*list->items[at]));
	if (list->items[at] == NULL)
		abort();
	list->count++;
	return list->items[at];
}

struct route *
route_get(
    struct route_list *list, int id, struct share *queue, struct share *kind)
{
	struct route *route = route_find(list, id);

	if (route != NULL)
		return route;
	route = insert(list, search(list, id));
	route->id = id;
	route->shares.queue = queue;
	route->shares.kind = kind;
	return route;
}

void
route_list_free(struct route_list *list)
{
	for (int i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct route_list){0};
}
