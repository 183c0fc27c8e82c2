/* musterctl tail */
#include <stdio.h>

#include "ctl/format.h"
#include "ctl/interrupt.h"
#include "ctl/run.h"
#include "ctl/verb_list.h"
#include "ctl/watch.h"

const struct option tail_options[] = {
    {"flow", 'f', "ID", "every task of this flow"},
    {0},
};

const char tail_examples[] =
    "musterctl tail 42               # until it is over\n"
    "musterctl tail --flow 7 --json  # a JSON line for each change\n";

static void
on_change(
    const struct watch *watch, const struct watch_task *task, void *argument)
{
	const struct ctl *ctl = argument;

	run_print_change(ctl, watch, task);
}

static int
follow(struct ctl *ctl, struct watch *watch)
{
	int code;

	interrupt_hold();
	for (;;) {
		code = watch_look(ctl, watch, on_change, ctl);
		fflush(stdout);
		if (interrupt_seen())
			return CTL_INTERRUPTED;
		if (code != 0)
			return code;
		if (watch->over)
			break;
		(void)interrupt_wait_ms(watch->pause_ms); /* seen above */
	}
	run_print_end(ctl, watch);
	return watch->succeeded ? CTL_DONE : CTL_FAILED;
}

int
verb_tail(struct ctl *ctl)
{
	const char *flow = ctl_option(ctl, "flow");
	const char *task = ctl_argument(ctl, 0);
	struct watch watch;
	int64_t id;
	int code;

	if ((flow != NULL) == (task != NULL))
		return ctl_usage(ctl, "give the id of a task or --flow ID");
	if (!format_parse_id(flow != NULL ? flow : task, &id))
		return ctl_usage(
		    ctl, "'%s' is no id", flow != NULL ? flow : task);
	watch_start(&watch, flow != NULL ? id : 0, flow != NULL ? 0 : id);
	code = follow(ctl, &watch);
	watch_free(&watch);
	return code;
}
