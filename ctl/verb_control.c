/* musterctl reload, drain, log-level, dump: over the control socket */
#include <stdio.h>
#include <string.h>

#include "ctl/control.h"
#include "ctl/verb_list.h"
#include "common/log.h"
#include "common/text.h"

enum { ORDER_LIMIT_MS = 10000, RELOAD_LIMIT_MS = 120000 };

const char reload_examples[] =
    "sudo musterctl reload           # waits; exit 1 and the line at fault\n"
    "sudo systemctl reload musterd   # the same\n";
const char drain_examples[] =
    "sudo musterctl drain            # finish what runs, then end\n";
const char log_level_examples[] =
    "sudo musterctl log-level debug\n"
    "sudo musterctl log-level info   # until the next reload or restart\n";
const char dump_examples[] =
    "sudo musterctl dump             # what each process does, into the log\n";

/* What the answer says beside "ok", for people. */
static void
print_answer(const struct ctl *ctl, const json_t *answer, const char *said)
{
	const char *status =
	    json_string_value(json_object_get(answer, "status"));

	if (ctl_json(ctl))
		json_dumpf(answer, stdout, JSON_COMPACT);
	else
		fputs(status != NULL ? status : said, stdout);
	putchar('\n');
}

static int
order(struct ctl *ctl, const char *request, int64_t limit_ms, const char *said)
{
	json_t *answer;
	int code = control_order(ctl, request, limit_ms, &answer);

	if (code != 0)
		return code;
	print_answer(ctl, answer, said);
	json_decref(answer);
	return CTL_DONE;
}

int
verb_reload(struct ctl *ctl)
{
	return order(ctl, "{\"verb\":\"reload\"}", RELOAD_LIMIT_MS,
	    "the configuration was reloaded");
}

int
verb_drain(struct ctl *ctl)
{
	return order(ctl, "{\"verb\":\"drain\"}", ORDER_LIMIT_MS,
	    "musterd finishes what runs and ends");
}

int
verb_log_level(struct ctl *ctl)
{
	const char *name = ctl_argument(ctl, 0);
	char request[80], said[64];
	enum log_level level;

	if (!log_level_parse(name, &level))
		return ctl_usage(ctl,
		    "'%s' is no level; there are error, warning, notice, info, "
		    "debug",
		    name);
	snprintf(request, sizeof(request),
	    "{\"verb\":\"log-level\",\"level\":\"%s\"}", log_level_name(level));
	snprintf(said, sizeof(said), "the log level is %s now",
	    log_level_name(level));
	return order(ctl, request, ORDER_LIMIT_MS, said);
}

int
verb_dump(struct ctl *ctl)
{
	return order(ctl, "{\"verb\":\"dump\"}", ORDER_LIMIT_MS,
	    "musterd wrote its state into its log");
}
