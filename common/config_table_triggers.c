/* The section `triggers`. */
#include "common/config_keys.h"
#include "common/config_rules.h"

#define OWNER trigger_config
static const struct config_key trigger_keys[] = {
    {.name = "channel",
	.type = &config_type_text,
	AT(channel),
	.min = 1,
	.max = 1023,
	IN_PLACE,
	.help = "The channel of Redis: each message becomes a task, with the "
		"message as its payload if it is JSON, else {\"message\": "
		"\"its text\"}. Any number of triggers may have one channel."},
    {.name = "pattern",
	.type = &config_type_text,
	AT(pattern),
	.min = 1,
	.max = 1023,
	IN_PLACE,
	.help = "Instead of channel: all channels that it fits, such as "
		"tickets.* (Redis's PSUBSCRIBE)."},
    {.name = "kind",
	.type = &config_type_text,
	AT(kind),
	.min = 1,
	.max = 100,
	.check = config_is_name,
	IN_PLACE,
	.help = "The kind of the tasks."},
    {.name = "queue",
	.type = &config_type_text,
	AT(queue),
	.min = 1,
	.max = 100,
	.fallback = "default",
	.check = config_is_name,
	IN_PLACE,
	.help = "Their queue."},
    {.name = "priority",
	.type = &config_type_integer,
	AT(priority),
	.min = -1000,
	.max = 1000,
	.fallback = "0",
	IN_PLACE,
	.help = "Their priority; higher goes first."},
    {.name = "rate",
	.type = &config_type_rate,
	AT(rate),
	.min = 1.0 / 3600,
	.max = 1e6,
	.fallback = "1000/s",
	IN_PLACE,
	.help = "How many messages become tasks at most. What comes beyond it "
		"is dropped, and the log says how much, once in ten seconds."},
    {.name = "burst",
	.type = &config_type_integer,
	AT(burst),
	.min = 1,
	.max = 1e6,
	IN_PLACE,
	.help = "How many may come at once after a pause; else as many as the "
		"rate allows in a second."},
};
const struct config_section config_section_trigger = {
    KEYS(trigger_keys), sizeof(struct trigger_config)};
#undef OWNER
