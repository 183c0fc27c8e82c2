/* musterctl run */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/flow.h"
#include "ctl/handled.h"
#include "ctl/json.h"
#include "ctl/run.h"
#include "ctl/session.h"
#include "ctl/verb_list.h"

enum { SUBMIT_LIMIT_MS = 600000 };

const struct option run_options[] = {
    {"detach", 'd', NULL, "submit, print the flow's id and leave it"},
    {"no-check", 0, NULL, "even if no live worker handles some kind"},
    {0},
};

const char run_examples[] =
    "musterctl run nightly.yaml            # follows it; Ctrl-C cancels it\n"
    "id=$(musterctl run --detach nightly.yaml)\n"
    "generate-flow | musterctl run --json - # a JSON line for each change\n";

/* One complaint a (queue, kind): sorted, equal ones stand side by side. */
static int
compare_routes(const void *a, const void *b)
{
	const struct flow_task *left = *(const struct flow_task *const *)a;
	const struct flow_task *right = *(const struct flow_task *const *)b;
	int order = strcmp(left->kind, right->kind);

	if (order == 0)
		order = strcmp(left->queue, right->queue);
	return order != 0 ? order : left->line - right->line;
}

/* The tasks that a worker will run: all but nested flows. */
static size_t
sort_by_route(const struct flow *flat, const struct flow_task **sorted)
{
	size_t count = 0;

	for (size_t i = 0; i < flat->count; i++)
		if (flat->tasks[i].kind != NULL)
			sorted[count++] = &flat->tasks[i];
	qsort(sorted, count, sizeof(*sorted), compare_routes);
	return count;
}

static void
check_routes(const struct flow *flow, const struct handled *handled,
    struct flow_errors *errors)
{
	struct flow *flat = flow_flatten(flow);
	const struct flow_task **sorted = calloc(flat->count, sizeof(*sorted));
	size_t count;

	if (sorted == NULL)
		abort();
	count = sort_by_route(flat, sorted);
	for (size_t i = 0; i < count; i++) {
		const struct flow_task *task = sorted[i];
		struct error error;

		if (i > 0 && strcmp(task->kind, sorted[i - 1]->kind) == 0 &&
		    strcmp(task->queue, sorted[i - 1]->queue) == 0)
			continue;
		if (!handled_nobody(handled, task->queue, task->kind, &error))
			continue;
		flow_place(flow, &error, task->line, task->column);
		flow_error_add(errors, flow->source, &error);
	}
	free(sorted);
	flow_free(flat);
}

/* Nothing is stored while a task of it would wait for ever. */
static int
check_handled(struct ctl *ctl, const struct flow *flow)
{
	struct flow_errors errors = {0};
	struct handled handled;
	int code;

	if (ctl_option(ctl, "no-check") != NULL)
		return 0;
	code = handled_read(ctl, &handled);
	if (code == 0 && !handled.any_worker)
		code = ctl_fail(CTL_FAILED,
		    "no worker is alive to run it; nothing was submitted "
		    "(--no-check does it anyway)");
	else if (code == 0)
		check_routes(flow, &handled, &errors);
	if (errors.count > 0) {
		flow_errors_print(&errors);
		code = ctl_fail(CTL_FAILED,
		    "nothing was submitted (--no-check does it anyway)");
	}
	flow_errors_free(&errors);
	handled_free(&handled);
	return code;
}

static int
submit(struct ctl *ctl, const struct flow *flow, int64_t *ret_id)
{
	struct text document = TEXT_EMPTY;
	int64_t before_ms = ctl->limit_ms;
	const char *values[1];
	PGresult *result;
	int code;

	flow_json(flow, &document);
	values[0] = text_string(&document);
	ctl->limit_ms = ctl_limit_ms(ctl, SUBMIT_LIMIT_MS);
	code = session_query(ctl, &result,
	    "SELECT muster.submit_flow($1::text::jsonb)", 1, values);
	ctl->limit_ms = before_ms;
	text_free(&document);
	if (code != 0)
		return code;
	*ret_id = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	PQclear(result);
	return 0;
}

static void
print_id(const struct ctl *ctl, int64_t id)
{
	if (ctl_json(ctl))
		printf("{\"flow\":\"%lld\"}\n", (long long)id);
	else
		printf("%lld\n", (long long)id);
}

static void
print_start(const struct flow *flow, int64_t id)
{
	struct text name = TEXT_EMPTY;

	text_add_escaped(&name, flow->name, strlen(flow->name));
	printf("flow %lld: %s, %zu task%s\n", (long long)id, text_string(&name),
	    flow->count, flow->count == 1 ? "" : "s");
	text_free(&name);
}

static int
run(struct ctl *ctl, const struct flow *flow)
{
	int64_t id;
	int code = session_connect(ctl);

	if (code == 0)
		code = check_handled(ctl, flow);
	if (code == 0)
		code = submit(ctl, flow, &id);
	if (code != 0)
		return code;
	if (ctl_option(ctl, "detach") != NULL) {
		print_id(ctl, id);
		return CTL_DONE;
	}
	if (!ctl_json(ctl))
		print_start(flow, id);
	return run_follow(ctl, flow, id);
}

int
verb_run(struct ctl *ctl)
{
	struct flow_errors errors = {0};
	struct flow *flow = flow_read(ctl_argument(ctl, 0), &errors);
	int code = CTL_FAILED;

	flow_errors_print(&errors);
	flow_errors_free(&errors);
	if (flow != NULL)
		code = run(ctl, flow);
	flow_free(flow);
	return code;
}
