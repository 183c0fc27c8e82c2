#include "daemon/worker/length.h"

#include <event2/event.h>
#include <string.h>

#include "common/busy.h"
#include "common/log.h"
#include "common/text.h"
#include "daemon/worker/statements.h"
#include "daemon/worker/worker.h"

static void
on_told(PGresult *result, void *argument)
{
	(void)argument;
	if (result != NULL && PQresultStatus(result) != PGRES_TUPLES_OK)
		log_warning("how long tasks take was not taken, ignoring: %s",
		    pg_message(result));
}

/* Returns how many kinds there are to tell of, whose sums start anew. */
static int
collect(struct worker *worker, struct text *kinds, struct text *counts,
    struct text *sums)
{
	int n = 0;

	for (int i = 0; i < worker->kinds.count; i++) {
		struct share *share = worker->kinds.items[i];
		char comma = n == 0 ? '{' : ',';

		if (share->ran_count == 0)
			continue;
		text_add_char(kinds, comma);
		text_add_array_item(kinds, share->name, strlen(share->name));
		text_add_char(counts, comma);
		text_add_int(counts, share->ran_count);
		text_add_char(sums, comma);
		text_add_int(sums, share->ran_us / 1000);
		share->ran_us = share->ran_count = 0;
		n++;
	}
	return n;
}

void
length_tell(struct worker *worker)
{
	struct text kinds = TEXT_EMPTY, counts = TEXT_EMPTY, sums = TEXT_EMPTY;

	if (member_is_in(worker) &&
	    collect(worker, &kinds, &counts, &sums) > 0) {
		text_add_char(&kinds, '}');
		text_add_char(&counts, '}');
		text_add_char(&sums, '}');
		const char *values[] = {kinds.data, counts.data, sums.data};

		if (pg_send(worker->pg, &statement_kind_ran, values, on_told,
			worker) < 0)
			log_debug("not connected: lengths are not told");
	}
	text_free(&kinds);
	text_free(&counts);
	text_free(&sums);
}

static void
on_tell(evutil_socket_t fd, short what, void *argument)
{
	struct busy busy = busy_enter("learned lengths");

	(void)fd, (void)what;
	length_tell(argument);
	busy_leave(busy);
}

void
length_open(struct worker *worker)
{
	struct timeval every = {.tv_sec = LENGTH_TELL_S};

	worker->lengths =
	    event_new(worker->base, -1, EV_PERSIST, on_tell, worker);
	event_add(worker->lengths, &every);
}

void
length_close(struct worker *worker)
{
	event_free(worker->lengths);
}
