/* musterctl check */
#include <stdio.h>

#include "ctl/check.h"
#include "ctl/json.h"
#include "ctl/terminal.h"
#include "ctl/verb_list.h"

const struct option check_options[] = {
    {"invariants", 0, NULL, "also look for tasks that stand wrongly (slow)"},
    {0},
};

const char check_examples[] =
    "sudo musterctl check            # before the first start\n"
    "musterctl check --invariants --json\n";

static void
print_people(const struct check_report *report)
{
	for (size_t i = 0; i < report->count; i++) {
		const struct check_item *item = &report->items[i];
		const char *state = item->code == 0 ? "ok" : "wrong";

		printf("%-14s %s%-5s%s  %s\n", item->what,
		    terminal_state_colour(state), state, terminal_plain(),
		    item->detail);
	}
}

static void
print_json(const struct check_report *report)
{
	struct json json = JSON_EMPTY;

	json_begin(&json, '[');
	for (size_t i = 0; i < report->count; i++) {
		json_begin(&json, '{');
		json_add_key(&json, "what");
		json_add_string(&json, report->items[i].what);
		json_add_key(&json, "ok");
		json_add_bool(&json, report->items[i].code == 0);
		json_add_key(&json, "detail");
		json_add_string(&json, report->items[i].detail);
		json_end(&json, '}');
	}
	json_end(&json, ']');
	json_print(&json);
}

int
verb_check(struct ctl *ctl)
{
	struct check_report report = {0};
	int code =
	    check_all(ctl, ctl_option(ctl, "invariants") != NULL, &report);

	if (ctl_json(ctl))
		print_json(&report);
	else
		print_people(&report);
	check_free(&report);
	return code;
}
