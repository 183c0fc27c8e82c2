#include "daemon/worker/running.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

enum { RUNNING_MAGIC = 0x72756e21 };

struct running *
running_of(struct task *task)
{
	struct running *running =
	    (struct running *)(void *)((char *)task -
				       offsetof(struct running, task));

	assert(running->magic == RUNNING_MAGIC);
	return running;
}

struct running *
running_new(int64_t id, int64_t lease)
{
	struct running *running = calloc(1, sizeof(*running));

	if (running == NULL)
		abort();
	running->magic = RUNNING_MAGIC;
	running->task.id = id;
	running->task.lease = lease;
	running->task.scoreboard_slot = -1;
	return running;
}

struct running *
running_free(struct running *running)
{
	if (running == NULL)
		return NULL;
	assert(running->magic == RUNNING_MAGIC);
	running->magic = 0;
	free(running->payload);
	free(running->inputs);
	free(running->finish.result);
	free(running->finish.error);
	free(running);
	return NULL;
}

void
running_drop_data(struct running *running)
{
	free(running->payload);
	free(running->inputs);
	running->payload = running->inputs = NULL;
	running->task.payload = running->task.inputs = NULL;
	running->task.payload_size = running->task.inputs_size = 0;
}

size_t
running_bytes(const struct running *running)
{
	return running->task.payload_size + running->task.inputs_size +
	       running->finish.result_size + running->finish.error_size;
}

/* Fibonacci hashing: ids are handed out in order, so any spread will do. */
static size_t
home(const struct running_table *table, int64_t id)
{
	uint64_t mixed = (uint64_t)id * UINT64_C(0x9e3779b97f4a7c15);

	return (size_t)(mixed >> 32) & (table->size - 1);
}

/* The slot of `id`, or the free one where it belongs. */
static size_t
slot_of(const struct running_table *table, int64_t id)
{
	size_t at = home(table, id);

	while (table->slots[at] != NULL && table->slots[at]->task.id != id)
		at = (at + 1) & (table->size - 1);
	return at;
}

static void
resize(struct running_table *table, size_t size)
{
	struct running_table old = *table;

	table->size = size;
	table->slots = calloc(size, sizeof(table->slots[0]));
	if (table->slots == NULL)
		abort();
	for (size_t i = 0; i < old.size; i++)
		if (old.slots[i] != NULL)
			table->slots[slot_of(table, old.slots[i]->task.id)] =
			    old.slots[i];
	free(old.slots);
}

void
running_table_add(struct running_table *table, struct running *running)
{
	size_t at;

	if (table->count * 2 >= table->size)
		resize(table, table->size == 0 ? 256 : table->size * 2);
	at = slot_of(table, running->task.id);
	assert(table->slots[at] == NULL);
	table->slots[at] = running;
	table->count++;
}

struct running *
running_table_find(const struct running_table *table, int64_t id)
{
	return table->size == 0 ? NULL : table->slots[slot_of(table, id)];
}

/* Linear probing: those that follow move up, so that none is cut off. */
void
running_table_remove(struct running_table *table, const struct running *running)
{
	size_t mask = table->size - 1, hole, at;

	if (running_table_find(table, running->task.id) != running)
		return;
	hole = slot_of(table, running->task.id);
	table->count--;
	for (at = (hole + 1) & mask; table->slots[at] != NULL;
	     at = (at + 1) & mask) {
		size_t wish = home(table, table->slots[at]->task.id);

		if (((at - wish) & mask) < ((at - hole) & mask))
			continue;
		table->slots[hole] = table->slots[at];
		hole = at;
	}
	table->slots[hole] = NULL;
}

void
running_table_free(struct running_table *table)
{
	free(table->slots);
	*table = (struct running_table){0};
}
