/*
 * What status shows of a pool: gathered when a process starts, gets ready or
 * ends, and once a second while there are any; so tasks cost nothing.
 */
#include <string.h>

#include "daemon/handlers/pool.h"

static void
count(const struct handler *pool, struct scoreboard_pool *shown)
{
	const struct pool_member *member;

	shown->starting = shown->ready = shown->busy = 0;
	shown->ending = shown->running = 0;
	TAILQ_FOREACH(member, &pool->members, link)
	{
		shown->starting += member->state == MEMBER_STARTING;
		shown->ready += member->state == MEMBER_READY;
		shown->ending += member->state > MEMBER_READY;
		shown->busy +=
		    member->state == MEMBER_READY && member->running > 0;
		shown->running += (uint32_t)member->running;
	}
}

void
pool_shown_update(struct handler *pool)
{
	struct scoreboard_pool *shown = &pool->shown.now;
	const struct pool_size *size = &pool->size;

	if (pool->shown.place == NULL)
		return;
	count(pool, shown);
	shown->max = (uint32_t)size->max;
	shown->waiting = (uint32_t)pool->waiting_count;
	shown->failures = (uint32_t)size->failures;
	shown->next_start_us = size->pausing ? size->next_start.us : 0;
	scoreboard_pool_write(pool->shown.place, shown);
}

void
pool_shown_started(struct handler *pool)
{
	pool->shown.now.started++;
	pool_shown_update(pool);
}

void
pool_shown_crashed(struct handler *pool, const char *error)
{
	struct scoreboard_pool *shown = &pool->shown.now;
	struct text words = TEXT_EMPTY;

	text_add_utf8(&words, error, strlen(error), sizeof(shown->error) - 1);
	memcpy(shown->error, text_string(&words), words.length + 1);
	text_free(&words);
	shown->crashed++;
	shown->crashed_us = mono_now().us;
	pool_shown_update(pool);
}

void
pool_shown_open(struct handler *pool)
{
	struct scoreboard_pool *shown = &pool->shown.now;

	shown->used = 1;
	strncpy(shown->kind, pool->kind, sizeof(shown->kind) - 1);
	pool->shown.place = scoreboard_pool_begin(pool->host.scoreboard);
	pool_shown_update(pool);
}

void
pool_shown_close(struct handler *pool)
{
	scoreboard_pool_end(pool->shown.place);
	pool->shown.place = NULL;
}
