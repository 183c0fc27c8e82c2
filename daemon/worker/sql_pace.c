/* How long functions take: short ones may have company. */
#include <stdlib.h>
#include <string.h>

#include "daemon/worker/sql_parts.h"

/* A longer run time counts one part in so many. A shorter one counts half: the
 * first call of a session, which makes the plans, says little. */
enum { LEARN = 8, LEARN_DOWN = 2 };

struct sql_pace *
sql_pace_get(struct sql_pool *pool, const char *function)
{
	struct sql_pace *pace;

	for (pace = pool->paces; pace != NULL; pace = pace->next)
		if (strcmp(pace->function, function) == 0)
			return pace;
	pace = calloc(1, sizeof(*pace));
	if (pace == NULL || (pace->function = strdup(function)) == NULL)
		abort();
	pace->next = pool->paces;
	pool->paces = pace;
	return pace;
}

bool
sql_pace_is_fast(const struct sql_pace *pace)
{
	return pace->mean_us > 0 && pace->mean_us <= SQL_FAST_US;
}

bool
sql_pace_learn(struct sql_pace *pace, int64_t us)
{
	bool was_fast = sql_pace_is_fast(pace);

	if (us < 1)
		us = 1;
	if (pace->mean_us == 0 || us > LEARN * pace->mean_us)
		pace->mean_us = us;
	else
		pace->mean_us += (us - pace->mean_us) /
				 (us < pace->mean_us ? LEARN_DOWN : LEARN);
	return sql_pace_is_fast(pace) != was_fast;
}

void
sql_pace_lonely(struct sql_pace *pace)
{
	pace->lonely_until = mono_add_ms(mono_now(), SQL_LONELY_MS);
}

int
sql_pace_company(const struct sql_pace *pace, int most)
{
	int64_t room;

	if (!sql_pace_is_fast(pace) ||
	    mono_us_between(mono_now(), pace->lonely_until) > 0)
		return 1;
	room = SQL_COMPANY_MS * 1000 / pace->mean_us;
	return room > most ? most : (int)room;
}

void
sql_pace_free_all(struct sql_pool *pool)
{
	struct sql_pace *pace;

	while ((pace = pool->paces) != NULL) {
		pool->paces = pace->next;
		free(pace->function);
		free(pace);
	}
}
