#include "supervisor/deaths.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/scoreboard.h"
#include "common/text.h"

struct report {
	struct report *next;
	uint64_t number;
	struct text body; /* struct procmsg_death and the ids */
};

struct deaths {
	struct report *first, **last; /* oldest first */
	uint64_t next_number;
};

struct deaths *
deaths_new(void)
{
	struct deaths *deaths = calloc(1, sizeof *deaths);
	if (!deaths)
		abort();
	deaths->last = &deaths->first;
	deaths->next_number = 1;
	return deaths;
}

static void
report_free(struct report *report)
{
	text_free(&report->body);
	free(report);
}

struct deaths *
deaths_free(struct deaths *deaths)
{
	if (!deaths)
		return NULL;
	while (deaths->first) {
		struct report *report = deaths->first;
		deaths->first = report->next;
		report_free(report);
	}
	free(deaths);
	return NULL;
}

/* Adds the ids that `board` shows of those that ran inside the child, or of the
 * others; false when a slot could not be read, and so may hide one. */
static bool
started_add(struct text *ids, uint32_t *count, const struct scoreboard *board,
    bool inside)
{
	bool known = true;
	for (int i = 0; i < SCOREBOARD_SLOTS; i++) {
		struct scoreboard_slot slot;
		bool torn;
		if (scoreboard_slot(board, i, &slot, &torn) &&
		    (slot.inside != 0) == inside) {
			text_add(ids, &slot.task, sizeof slot.task);
			(*count)++;
		}
		known = known && !torn;
	}
	return known;
}

uint64_t
deaths_add(struct deaths *deaths, const struct procmsg_death *death,
    const struct scoreboard *board)
{
	struct report *report = calloc(1, sizeof *report);
	if (!report)
		abort();
	struct procmsg_death head = *death;
	struct text ids = TEXT_EMPTY;
	report->number = head.number = deaths->next_number++;
	head.started = 0;
	(void)started_add(&ids, &head.started, board, true);
	head.inside = head.started;
	head.started_known = started_add(&ids, &head.started, board, false);
	text_add(&report->body, &head, sizeof head);
	text_add(&report->body, text_string(&ids), ids.length);
	text_free(&ids);
	*deaths->last = report;
	deaths->last = &report->next;
	return report->number;
}

static void
report_send(const struct report *report, struct procmsg_channel *channel)
{
	int result = procmsg_send(channel, PROCMSG_DEATH_REPORT, 0,
	    report->body.data, report->body.length, -1);
	if (result < 0)
		log_debug("death report %llu waits for the next scheduler",
		    (unsigned long long)report->number);
}

void
deaths_send_all(const struct deaths *deaths, struct procmsg_channel *channel)
{
	const struct report *report = deaths->first;
	for (; report; report = report->next)
		report_send(report, channel);
}

void
deaths_send(const struct deaths *deaths, uint64_t number,
    struct procmsg_channel *channel)
{
	const struct report *report = deaths->first;
	for (; report; report = report->next)
		if (report->number == number)
			report_send(report, channel);
}

void
deaths_acknowledge(struct deaths *deaths, uint64_t number)
{
	struct report **place = &deaths->first;
	while (*place && (*place)->number != number)
		place = &(*place)->next;
	struct report *report = *place;
	if (!report)
		return;
	*place = report->next;
	if (!report->next)
		deaths->last = place;
	report_free(report);
}

int
deaths_pending(const struct deaths *deaths)
{
	int count = 0;
	const struct report *report = deaths->first;
	for (; report; report = report->next)
		count++;
	return count;
}
