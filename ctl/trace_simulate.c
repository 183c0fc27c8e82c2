/* Scheduling a trace on paper. */
#include <stdbool.h>
#include <stdlib.h>

#include "ctl/trace.h"

/* A binary heap, the smallest key on top; of equal ones the lowest number. */
struct item {
	double key;
	size_t task;
};

struct heap {
	struct item *items; /* owned */
	size_t count;
};

static bool
before(struct item a, struct item b)
{
	return a.key < b.key || (a.key == b.key && a.task < b.task);
}

static void
swap(struct heap *heap, size_t a, size_t b)
{
	struct item item = heap->items[a];

	heap->items[a] = heap->items[b];
	heap->items[b] = item;
}

static void
push(struct heap *heap, double key, size_t task)
{
	size_t at = heap->count++;

	heap->items[at] = (struct item){key, task};
	for (; at > 0 && before(heap->items[at], heap->items[(at - 1) / 2]);
	     at = (at - 1) / 2)
		swap(heap, at, (at - 1) / 2);
}

static struct item
pop(struct heap *heap)
{
	struct item top = heap->items[0];
	size_t at = 0;

	heap->items[0] = heap->items[--heap->count];
	for (;;) {
		size_t child = 2 * at + 1;

		if (child + 1 < heap->count &&
		    before(heap->items[child + 1], heap->items[child]))
			child++;
		if (child >= heap->count ||
		    !before(heap->items[child], heap->items[at]))
			return top;
		swap(heap, at, child);
		at = child;
	}
}

static struct heap
heap_of(size_t count)
{
	struct heap heap = {.items = calloc(count, sizeof(struct item))};

	if (heap.items == NULL)
		abort();
	return heap;
}

double
trace_bound(const struct trace *trace, size_t slots)
{
	double share = trace->work / (double)slots;

	return share > trace->critical_path ? share : trace->critical_path;
}

double
trace_simulate(const struct trace *trace, size_t slots, enum trace_order order)
{
	struct heap ready = heap_of(trace->count);
	struct heap running = heap_of(trace->count); /* by their ends */
	size_t *waits = calloc(trace->count, sizeof(*waits));
	double now = 0;

	if (waits == NULL)
		abort();
#define KEY(task)                                                              \
	(order == TRACE_CRITICAL_FIRST ? -trace->tasks[task].rest : now)
	for (size_t i = 0; i < trace->count; i++) {
		waits[i] = trace->tasks[i].need_count;
		if (waits[i] == 0)
			push(&ready, KEY(i), i);
	}
	while (ready.count > 0 || running.count > 0) {
		const struct trace_task *ended;
		struct item next;

		while (ready.count > 0 && running.count < slots) {
			next = pop(&ready);
			push(&running, now + trace->tasks[next.task].seconds,
			    next.task);
		}
		next = pop(&running);
		now = next.key;
		ended = &trace->tasks[next.task];
		for (size_t n = 0; n < ended->feed_count; n++)
			if (--waits[ended->feeds[n]] == 0)
				push(&ready, KEY(ended->feeds[n]),
				    ended->feeds[n]);
	}
#undef KEY
	free(ready.items);
	free(running.items);
	free(waits);
	return now;
}
