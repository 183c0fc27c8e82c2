#include "daemon/scheduler/trigger.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/json_text.h"

enum { MESSAGE_COST = 64 }; /* bytes beside its text */

static char *
copy(const char *text)
{
	char *copied = strdup(text);
	if (copied == NULL)
		abort();
	return copied;
}

static const char *
channel_of(const struct trigger_config *config)
{
	return config->channel != NULL ? config->channel : config->pattern;
}

struct trigger *
trigger_new(const struct trigger_config *config)
{
	struct trigger *trigger = calloc(1, sizeof *trigger);
	if (trigger == NULL)
		abort();
	trigger->name = copy(config->name);
	trigger->channel = copy(channel_of(config));
	trigger->pattern = config->channel == NULL;
	trigger->kind = copy(config->kind);
	trigger->queue = copy(config->queue);
	trigger->priority = config->priority;
	trigger->rate = config->rate;
	trigger->burst = config->burst;
	trigger->tokens = config->burst;
	TAILQ_INIT(&trigger->line);
	return trigger;
}

/* The first in line is gone. */
static void
forget_first(struct trigger *trigger)
{
	struct trigger_message *message = TAILQ_FIRST(&trigger->line);
	TAILQ_REMOVE(&trigger->line, message, link);
	trigger->count--;
	trigger->bytes -= message->payload.length + MESSAGE_COST;
	text_free(&message->payload);
	free(message);
}

struct trigger *
trigger_free(struct trigger *trigger)
{
	if (trigger == NULL)
		return NULL;
	while (trigger->count > 0)
		forget_first(trigger);
	free(trigger->name);
	free(trigger->channel);
	free(trigger->kind);
	free(trigger->queue);
	free(trigger);
	return NULL;
}

bool
trigger_adjust(struct trigger *trigger, const struct trigger_config *config)
{
	if (strcmp(trigger->name, config->name) != 0 ||
	    strcmp(trigger->channel, channel_of(config)) != 0 ||
	    trigger->pattern != (config->channel == NULL) ||
	    strcmp(trigger->kind, config->kind) != 0 ||
	    strcmp(trigger->queue, config->queue) != 0 ||
	    trigger->priority != config->priority)
		return false;
	trigger->rate = config->rate;
	trigger->burst = config->burst;
	return true;
}

/* A token bucket. */
static bool
is_over(struct trigger *trigger, struct mono now)
{
	if (trigger->tokens_at.us != 0)
		trigger->tokens +=
		    (double)mono_us_between(trigger->tokens_at, now) / 1e6 *
		    trigger->rate;
	trigger->tokens_at = now;
	if (trigger->tokens > trigger->burst)
		trigger->tokens = trigger->burst;
	if (trigger->tokens < 1)
		return true;
	trigger->tokens--;
	return false;
}

/* JSON as it is, other bytes as a text. */
static void
add_payload(struct text *payload, const char *message, size_t size)
{
	struct text clean = TEXT_EMPTY;
	const char *why;
	if (size > 0 && utf8_is_valid(message, size) &&
	    json_text_judge(message, size, &why) == JSON_TEXT_FIT) {
		text_add(payload, message, size);
		return;
	}
	text_add_utf8(&clean, message, size, SIZE_MAX);
	text_add_string(payload, "{\"message\":");
	text_add_json_string(payload, text_string(&clean), clean.length);
	text_add_char(payload, '}');
	text_free(&clean);
}

enum trigger_taken
trigger_take(struct trigger *trigger, const char *text, size_t size,
    int64_t max_payload, struct mono now)
{
	struct trigger_message *message;
	if (is_over(trigger, now)) {
		trigger->over++;
		return TRIGGER_OVER;
	}
	if ((int64_t)size > max_payload) {
		trigger->large++;
		return TRIGGER_LARGE;
	}
	if (trigger->count >= TRIGGER_LINE ||
	    trigger->bytes + size > TRIGGER_LINE_BYTES) {
		trigger->full++;
		return TRIGGER_FULL;
	}
	message = calloc(1, sizeof *message);
	if (message == NULL)
		abort();
	add_payload(&message->payload, text, size);
	TAILQ_INSERT_TAIL(&trigger->line, message, link);
	trigger->count++;
	trigger->bytes += message->payload.length + MESSAGE_COST;
	return TRIGGER_TAKEN;
}

size_t
trigger_batch(struct trigger *trigger, struct text *ret_array)
{
	size_t most = trigger->alone > 0 ? 1 : TRIGGER_BATCH;
	const struct trigger_message *message;
	if (trigger->sent > 0)
		return 0;
	TAILQ_FOREACH(message, &trigger->line, link)
	{
		if (trigger->sent == most ||
		    (trigger->sent > 0 &&
			ret_array->length > TRIGGER_BATCH_BYTES))
			break;
		text_add_char(ret_array, trigger->sent == 0 ? '{' : ',');
		text_add_array_item(
		    ret_array, message->payload.data, message->payload.length);
		trigger->sent++;
	}
	if (trigger->sent > 0)
		text_add_char(ret_array, '}');
	return trigger->sent;
}

void
trigger_done(struct trigger *trigger)
{
	trigger->alone -=
	    trigger->alone < trigger->sent ? trigger->alone : trigger->sent;
	for (; trigger->sent > 0; trigger->sent--)
		forget_first(trigger);
}

void
trigger_again(struct trigger *trigger)
{
	trigger->sent = 0;
}

bool
trigger_refused(struct trigger *trigger)
{
	if (trigger->sent == 1) {
		trigger->refused++;
		trigger_done(trigger);
		return true;
	}
	trigger->alone = trigger->sent;
	trigger->sent = 0;
	return false;
}

void
trigger_drop(struct trigger *trigger)
{
	while (trigger->count > 0)
		forget_first(trigger);
	trigger->sent = trigger->alone = 0;
}

static void
add_part(struct text *sentence, uint64_t *count, const char *what)
{
	if (*count > 0)
		text_addf(sentence, "%s%" PRIu64 " %s",
		    sentence->length > 0 ? ", " : "", *count, what);
	*count = 0;
}

bool
trigger_complaint(
    struct trigger *trigger, struct mono now, struct text *ret_sentence)
{
	struct text over = TEXT_EMPTY;
	if (trigger->over + trigger->full + trigger->large + trigger->refused ==
	    0)
		return false;
	if (trigger->complained_once &&
	    mono_ms_between(trigger->complained, now) < TRIGGER_COMPLAIN_MS)
		return false;
	trigger->complained_once = true;
	trigger->complained = now;
	text_addf(&over, "over its rate of %.6g/s", trigger->rate);
	add_part(ret_sentence, &trigger->over, text_string(&over));
	add_part(ret_sentence, &trigger->full,
	    "more than the database took in time");
	add_part(ret_sentence, &trigger->large, "larger than max_payload");
	add_part(ret_sentence, &trigger->refused, "refused by the database");
	text_free(&over);
	return true;
}
