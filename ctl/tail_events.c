#include "ctl/tail_events.h"

#include <stdio.h>

#include "ctl/channel.h"
#include "ctl/format.h"
#include "ctl/interrupt.h"
#include "ctl/told.h"
#include "common/clock.h"

enum { WAIT_MS = 1000 };

/* A string says what it says; anything else is shown as it is written. */
static void
add_member(struct text *line, struct json_value event, const char *name)
{
	struct text string = TEXT_EMPTY;
	struct json_value value;

	if (!json_member(event, name, &value))
		return;
	text_addf(line, " %s=", name);
	if (json_value_string(value, &string))
		text_add_escaped(line, text_string(&string), string.length);
	else
		text_add_escaped(line, value.at, value.length);
	text_free(&string);
}

static void
print_line(struct json_value event)
{
	static const char *const names[] = {"task", "flow", "name", "state",
	    "kind", "queue", "attempt", "fraction", "note", "ran_ms",
	    "again_in_ms", "total", "succeeded", "failed", "cancelled",
	    "skipped", "worker", "host", "pid", "cause", "error"};
	struct text line = TEXT_EMPTY, type = TEXT_EMPTY;
	struct json_value value;
	int64_t at = told_at_us(event);

	format_time(&line, at > 0 ? at : wall_now_us());
	text_add_char(&line, ' ');
	if (json_member(event, "type", &value) &&
	    json_value_string(value, &type))
		text_add_escaped(&line, text_string(&type), type.length);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		add_member(&line, event, names[i]);
	puts(text_string(&line));
	text_free(&line);
	text_free(&type);
}

static void
on_event(int64_t task, struct json_value event, void *argument)
{
	const struct ctl *ctl = argument;
	struct text line = TEXT_EMPTY;

	(void)task;
	if (!ctl_json(ctl)) {
		print_line(event);
		return;
	}
	told_add_json(&line, event);
	puts(text_string(&line));
	text_free(&line);
}

int
tail_events(struct ctl *ctl, const char *types)
{
	struct channel *channel = channel_new(ctl, on_event, ctl);

	if (channel == NULL)
		return ctl_fail(CTL_CONFIG,
		    "events come through redis, and the configuration names "
		    "none");
	channel_follow_events(channel, types);
	interrupt_hold();
	while (!interrupt_seen()) {
		channel_wait(channel, WAIT_MS);
		fflush(stdout);
	}
	(void)channel_free(channel);
	return CTL_INTERRUPTED;
}
