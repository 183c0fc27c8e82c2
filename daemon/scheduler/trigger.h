/*
 * One trigger: what came in on its channel and waits to be enqueued. Pure: no
 * clock of its own, no connection. What is over its rate, or finds its line
 * full, is dropped and counted.
 */
#ifndef DAEMON_SCHEDULER_TRIGGER_H
#define DAEMON_SCHEDULER_TRIGGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/text.h"

enum {
	TRIGGER_BATCH = 1000, /* messages in a statement */
	TRIGGER_BATCH_BYTES = 4 * 1024 * 1024,
	TRIGGER_LINE = 10000, /* messages that wait */
	TRIGGER_LINE_BYTES = 16 * 1024 * 1024,
	TRIGGER_COMPLAIN_MS = 10 * 1000,
};

struct trigger_message {
	TAILQ_ENTRY(trigger_message) link;
	struct text payload; /* JSON that jsonb takes */
};
TAILQ_HEAD(trigger_line, trigger_message);

struct trigger {
	char *name, *channel, *kind, *queue; /* owned */
	bool pattern;			     /* `channel` is one */
	int priority;
	double rate; /* a second */
	int burst;

	bool held; /* this host acts on it */
	double tokens;
	struct mono tokens_at;
	struct trigger_line line;
	size_t count, bytes; /* in it */
	size_t sent;  /* of them, the first: in the statement under way */
	size_t alone; /* so many go one by one: one of them was refused */

	uint64_t over, full, large, refused; /* since the last complaint */
	bool complained_once;
	struct mono complained;
};

enum trigger_taken {
	TRIGGER_TAKEN,
	TRIGGER_OVER,  /* its rate */
	TRIGGER_FULL,  /* its line */
	TRIGGER_LARGE, /* over max_payload */
};

struct trigger *trigger_new(const struct trigger_config *config);
struct trigger *trigger_free(struct trigger *trigger); /* NULL ok */
/* Whether it only differs in how much it takes; if so it takes that over. */
bool trigger_adjust(
    struct trigger *trigger, const struct trigger_config *config);

enum trigger_taken trigger_take(struct trigger *trigger, const char *message,
    size_t size, int64_t max_payload, struct mono now);

/* The payloads of the next statement as an array of SQL; none while one is
 * under way. How many. */
size_t trigger_batch(struct trigger *trigger, struct text *ret_array);
/* They are tasks now. */
void trigger_done(struct trigger *trigger);
/* They were not taken: again, later. */
void trigger_again(struct trigger *trigger);
/* One of them cannot be taken: again, one by one; one that is alone goes.
 * Whether it did. */
bool trigger_refused(struct trigger *trigger);
/* Whatever waits is dropped. */
void trigger_drop(struct trigger *trigger);

/* Adds a sentence of what was dropped of late, once a period. */
bool trigger_complaint(
    struct trigger *trigger, struct mono now, struct text *ret_sentence);

#endif
