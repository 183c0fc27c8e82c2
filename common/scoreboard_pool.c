#include "common/scoreboard_pool.h"

#include <stddef.h>
#include <string.h>

#include "common/scoreboard.h"

#define LOAD(place) __atomic_load_n(&(place), __ATOMIC_RELAXED)
#define STORE(place, value) __atomic_store_n(&(place), value, __ATOMIC_RELAXED)

enum { SEQUENCE_SIZE = sizeof(uint32_t) };

static void
copy(void *into, const void *from)
{
	memcpy((char *)into + SEQUENCE_SIZE, (const char *)from + SEQUENCE_SIZE,
	    sizeof(struct scoreboard_pool) - SEQUENCE_SIZE);
}

struct scoreboard_pool *
scoreboard_pool_begin(struct scoreboard *board)
{
	struct scoreboard_pool *pools = scoreboard_pools(board);

	for (int i = 0; i < SCOREBOARD_POOLS; i++) {
		if (pools[i].used)
			continue;
		scoreboard_pool_write(
		    &pools[i], &(struct scoreboard_pool){.used = 1});
		return &pools[i];
	}
	return NULL;
}

void
scoreboard_pool_write(
    struct scoreboard_pool *place, const struct scoreboard_pool *now)
{
	uint32_t sequence = LOAD(place->sequence) | 1;

	STORE(place->sequence, sequence);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	copy(place, now);
	__atomic_store_n(&place->sequence, sequence + 1, __ATOMIC_RELEASE);
}

void
scoreboard_pool_end(struct scoreboard_pool *place)
{
	static const struct scoreboard_pool none;

	if (place != NULL)
		scoreboard_pool_write(place, &none);
}

bool
scoreboard_pool(
    const struct scoreboard *board, int index, struct scoreboard_pool *ret_pool)
{
	const struct scoreboard_pool *place =
	    &scoreboard_pools_read(board)[index];
	uint32_t sequence = __atomic_load_n(&place->sequence, __ATOMIC_ACQUIRE);

	if ((sequence & 1) || !LOAD(place->used))
		return false;
	copy(ret_pool, place);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	ret_pool->kind[sizeof(ret_pool->kind) - 1] = '\0';
	ret_pool->error[sizeof(ret_pool->error) - 1] = '\0';
	return ret_pool->used && LOAD(place->sequence) == sequence;
}
