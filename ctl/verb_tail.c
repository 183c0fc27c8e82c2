/* musterctl tail */
#include <stdio.h>

#include "ctl/channel.h"
#include "ctl/format.h"
#include "ctl/interrupt.h"
#include "ctl/run.h"
#include "ctl/tail_events.h"
#include "ctl/told.h"
#include "ctl/verb_list.h"
#include "ctl/watch.h"

const struct option tail_options[] = {
    {"flow", 'f', "ID", "every task of this flow"},
    {"events", 'e', NULL, "whatever happens from now on, until interrupted"},
    {"type", 't', "TYPE", "events of this type alone, such as 'task.*'"},
    {0},
};

const char tail_examples[] =
    "musterctl tail 42               # until it is over\n"
    "musterctl tail --flow 7 --json  # a JSON line for each change\n"
    "musterctl tail 42 --json | jq -c 'select(.chunk).chunk'\n"
    "musterctl tail --events --type flow.finished\n";

enum {
	LAST_WORDS_MS = 300, /* for what is on its way when a task is over */
	LASTS_MAX = 50,	     /* last progresses that are looked up at first */
	SOON_MS = 10,	     /* the next look after an attempt has ended */
	SOON_LIMIT_MS = 1000,
};

struct tail {
	struct ctl *ctl;
	struct watch watch;
	struct channel *channel; /* NULL: without Redis */
	bool opened;		 /* it was tried to have one */
	size_t followed;
	struct mono ended; /* an attempt of one of them */
};

static void
on_message(int64_t id, struct json_value message, void *argument)
{
	struct tail *tail = argument;
	struct watch_task *task = watch_find(&tail->watch, id);
	enum told_type type = told_type(message);

	if (task == NULL || type == TOLD_ELSE)
		return;
	task->talks = type != TOLD_END;
	if (type == TOLD_END)
		tail->ended = mono_now();
	else
		told_print(tail->ctl, id, task->name, message);
}

/* What it told stands before its end, though both come by different ways. */
static void
await_last_words(struct tail *tail, const struct watch_task *task)
{
	struct mono until = mono_add_ms(mono_now(), LAST_WORDS_MS);
	int64_t left = 0;

	if (tail->channel == NULL || !task->followed)
		return;
	do {
		channel_wait(tail->channel, left);
		left = mono_ms_between(mono_now(), until);
	} while (task->talks && left > 0 && !interrupt_seen());
}

static void
on_change(
    const struct watch *watch, const struct watch_task *task, void *argument)
{
	struct tail *tail = argument;

	if (state_is_final(task->state))
		await_last_words(tail, task);
	run_print_change(tail->ctl, watch, task);
}

/* What it told before we came. */
static void
show_last(struct tail *tail, const struct watch_task *task)
{
	struct text last = TEXT_EMPTY;
	struct json_value message;

	channel_last(tail->channel, task->id, &last);
	if (json_value_of(text_string(&last), last.length, &message))
		told_print(tail->ctl, task->id, task->name, message);
	text_free(&last);
}

static void
follow_new(struct tail *tail)
{
	bool first = tail->followed == 0;
	int lasts = 0;

	if (tail->channel == NULL || tail->followed == tail->watch.count)
		return;
	for (size_t i = 0; i < tail->watch.count; i++) {
		struct watch_task *task = &tail->watch.tasks[i];

		if (task->followed)
			continue;
		task->followed = true;
		tail->followed++;
		if (state_is_final(task->state))
			continue;
		if (first && task->state == STATE_RUNNING &&
		    lasts++ < LASTS_MAX)
			show_last(tail, task);
		channel_follow(tail->channel, task->id);
	}
}

/* Until the next look is due; what is told meanwhile is shown at once. */
static void
listen_for_a_while(struct tail *tail)
{
	struct mono began = mono_now();
	int64_t left = tail->watch.pause_ms;

	while (left > 0 && !interrupt_seen()) {
		channel_wait(tail->channel, left);
		fflush(stdout);
		left =
		    tail->watch.pause_ms - mono_ms_between(began, mono_now());
		if (mono_ms_between(tail->ended, mono_now()) < SOON_LIMIT_MS &&
		    left > SOON_MS)
			left = SOON_MS - mono_ms_between(began, mono_now());
	}
}

static int
follow(struct tail *tail)
{
	struct watch *watch = &tail->watch;
	int code;

	interrupt_hold();
	for (;;) {
		code = watch_look(tail->ctl, watch, on_change, tail);
		fflush(stdout);
		if (interrupt_seen())
			return CTL_INTERRUPTED;
		if (code != 0)
			return code;
		if (watch->over)
			break;
		if (!tail->opened)
			tail->channel =
			    channel_new(tail->ctl, on_message, tail);
		tail->opened = true;
		follow_new(tail);
		listen_for_a_while(tail);
		if (interrupt_seen())
			return CTL_INTERRUPTED;
	}
	run_print_end(tail->ctl, watch);
	return watch->succeeded ? CTL_DONE : CTL_FAILED;
}

int
verb_tail(struct ctl *ctl)
{
	const char *flow = ctl_option(ctl, "flow");
	const char *task = ctl_argument(ctl, 0);
	const char *type = ctl_option(ctl, "type");
	bool events = ctl_option(ctl, "events") != NULL;
	struct tail tail = {.ctl = ctl};
	int64_t id;
	int code;

	if ((flow != NULL) + (task != NULL) + events != 1)
		return ctl_usage(
		    ctl, "give the id of a task, --flow ID or --events");
	if (type != NULL && !events)
		return ctl_usage(ctl, "--type is for --events");
	if (events)
		return tail_events(ctl, type != NULL ? type : "*");
	if (!format_parse_id(flow != NULL ? flow : task, &id))
		return ctl_usage(
		    ctl, "'%s' is no id", flow != NULL ? flow : task);
	watch_start(&tail.watch, flow != NULL ? id : 0, flow != NULL ? 0 : id);
	tail.ended = mono_add_ms(mono_now(), -SOON_LIMIT_MS);
	code = follow(&tail);
	tail.channel = channel_free(tail.channel);
	watch_free(&tail.watch);
	return code;
}
