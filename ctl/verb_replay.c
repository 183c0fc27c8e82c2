/* musterctl replay */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/format.h"
#include "ctl/interrupt.h"
#include "ctl/json.h"
#include "ctl/replay_daemon.h"
#include "ctl/session.h"
#include "ctl/trace.h"
#include "ctl/verb_list.h"

enum { SLOTS = 16, SLOTS_MAX = 10000, LOOK_MS = 50, CANCEL_MS = 10000 };

const struct option replay_options[] = {
    {"slots", 's', "NUMBER", "so many tasks at a time (16)"},
    {"speed", 'x', "FACTOR", "so many times faster than it was (1)"},
    {0},
};

const char replay_examples[] =
    "musterctl replay montage.json --slots 16 --speed 100\n"
    "musterctl replay --json trace.json | jq .ratio\n";

struct replay {
	struct trace *trace; /* owned */
	size_t slots;
	double speed;
	int64_t flow;
	double makespan; /* seconds */
};

static int
read_options(struct ctl *ctl, struct replay *replay)
{
	const char *slots = ctl_option(ctl, "slots");
	const char *speed = ctl_option(ctl, "speed");
	char *end = NULL;

	replay->slots = SLOTS;
	replay->speed = 1;
	if (slots != NULL && !format_is_int(slots, 1, SLOTS_MAX))
		return ctl_usage(
		    ctl, "--slots is a whole number, 1 … %d", SLOTS_MAX);
	if (slots != NULL)
		replay->slots = strtoul(slots, NULL, 10);
	if (speed != NULL)
		replay->speed = strtod(speed, &end);
	if (speed != NULL &&
	    (end == speed || *end != '\0' || !isfinite(replay->speed) ||
		replay->speed <= 0))
		return ctl_usage(ctl, "--speed is a number above 0");
	return 0;
}

static int
read_trace(struct ctl *ctl, struct replay *replay)
{
	struct error error;
	char place[2048];

	replay->trace = trace_read(ctl_argument(ctl, 0), replay->speed, &error);
	if (replay->trace != NULL)
		return 0;
	return ctl_fail(
	    CTL_FAILED, "%s", error_format(&error, place, sizeof(place)));
}

/* The trace as a flow: each task sleeps as long as it once took. */

static void
add_task(
    struct json *json, const struct trace *trace, const struct trace_task *task)
{
	char number[64];

	json_begin(json, '{');
	json_add_key(json, "name");
	json_add_string(json, task->id);
	json_add_key(json, "kind");
	snprintf(number, sizeof(number), "replay-%zu", task->kind);
	json_add_string(json, number);
	json_add_key(json, "queue");
	json_add_string(json, "replay");
	json_add_key(json, "payload");
	snprintf(number, sizeof(number), "{\"sleep\":%.6f}", task->seconds);
	json_add_raw(json, number);
	json_add_key(json, "expect");
	snprintf(
	    number, sizeof(number), "%.3fms", fmax(task->seconds * 1000, 1));
	json_add_string(json, number);
	json_add_key(json, "needs");
	json_begin(json, '[');
	for (size_t i = 0; i < task->need_count; i++)
		json_add_string(json, trace->tasks[task->needs[i]].id);
	json_end(json, ']');
	json_end(json, '}');
}

static int
submit_by(
    struct ctl *ctl, struct replay *replay, const char *sql, const char *flow)
{
	const char *values[1] = {flow};
	PGresult *result;
	int code =
	    session_query(ctl, &result, sql, flow != NULL ? 1 : 0, values);

	if (code != 0)
		return code;
	replay->flow = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	PQclear(result);
	return 0;
}

static int
submit(struct ctl *ctl, struct replay *replay)
{
	const struct trace *trace = replay->trace;
	struct json json = JSON_EMPTY;
	int code;

	json_begin(&json, '{');
	json_add_key(&json, "flow");
	json_add_string(&json, trace->name);
	json_add_key(&json, "on_failure");
	json_add_string(&json, "cancel");
	json_add_key(&json, "tasks");
	json_begin(&json, '[');
	for (size_t i = 0; i < trace->count; i++)
		add_task(&json, trace, &trace->tasks[i]);
	json_end(&json, ']');
	json_end(&json, '}');
	code =
	    submit_by(ctl, replay, "SELECT muster.submit_flow($1::text::jsonb)",
		text_string(&json.text));
	text_free(&json.text);
	return code;
}

/* $1 is the flow. */
static int
query(struct ctl *ctl, const struct replay *replay, PGresult **ret_result,
    const char *sql)
{
	char id[24];
	const char *values[1] = {id};

	snprintf(id, sizeof(id), "%" PRId64, replay->flow);
	return session_query(ctl, ret_result, sql, 1, values);
}

/* One look at the flow. 0 or an exit code; *ret_over. */
static int
look(struct ctl *ctl, const struct replay *replay, bool *ret_over)
{
	PGresult *result;
	int code = query(ctl, replay, &result,
	    "SELECT state, error, finished_at IS NOT NULL AS over"
	    " FROM muster.flow_status WHERE id = $1");

	if (code != 0)
		return code;
	*ret_over = strcmp(session_value(result, 0, "over"), "t") == 0;
	if (*ret_over &&
	    strcmp(session_value(result, 0, "state"), "succeeded") != 0)
		code = ctl_fail(CTL_FAILED, "flow %" PRId64 " %s: %s",
		    replay->flow, session_value(result, 0, "state"),
		    session_value(result, 0, "error"));
	PQclear(result);
	return code;
}

/* One look whether it has tasks left. 0 or an exit code; *ret_over. */
static int
look_for_tasks(struct ctl *ctl, const struct replay *replay, bool *ret_over)
{
	PGresult *result;
	int code = query(ctl, replay, &result,
	    "SELECT FROM muster.task_status WHERE flow_id = $1 LIMIT 1");

	if (code != 0)
		return code;
	*ret_over = PQntuples(result) == 0;
	PQclear(result);
	return 0;
}

/* Its tasks go as if they had never been. */
static int
forget(struct ctl *ctl, const struct replay *replay)
{
	PGresult *result;
	int code = query(ctl, replay, &result,
	    "SELECT muster.delete(t.id) FROM muster.task_status t"
	    " WHERE t.flow_id = $1");

	if (code == 0)
		PQclear(result);
	return code;
}

/* What is left of the flow would wait for the next replay. */
static void
cancel(struct ctl *ctl, const struct replay *replay)
{
	PGresult *result;

	ctl_set_quiet(true);
	if (query(ctl, replay, &result, "SELECT muster.cancel_flow($1)") == 0)
		PQclear(result);
	for (int ms = 0; ms < CANCEL_MS; ms += LOOK_MS) {
		bool over = false;

		if (look(ctl, replay, &over) != 0 || over)
			break;
		(void)interrupt_wait_ms(LOOK_MS);
	}
	ctl_set_quiet(false);
}

/* Until what is looked for is so. */
static int
follow(struct ctl *ctl, const struct replay *replay,
    int (*look_at)(struct ctl *, const struct replay *, bool *))
{
	bool over = false;
	int code = 0;

	while (code == 0 && !over) {
		if (interrupt_seen()) {
			interrupt_rearm();
			cancel(ctl, replay);
			return CTL_INTERRUPTED;
		}
		code = look_at(ctl, replay, &over);
		if (code == 0 && !over)
			(void)interrupt_wait_ms(LOOK_MS);
	}
	return code;
}

/* From the start of the first task to the end of the last. What a task ran is
 * known in whole milliseconds, and that it slept as long as it was to. */
static int
measure(struct ctl *ctl, struct replay *replay)
{
	PGresult *result;
	int code = query(ctl, replay, &result,
	    "SELECT extract(epoch FROM max(finished_at) - min(finished_at"
	    " - greatest(ran_ms / 1000.0, (payload->>'sleep')::float8)"
	    " * interval '1 s'))"
	    " FROM muster.task_status WHERE flow_id = $1");

	if (code != 0)
		return code;
	replay->makespan = strtod(PQgetvalue(result, 0, 0), NULL);
	PQclear(result);
	return 0;
}

static void
add_figure(struct json *json, const char *key, double value)
{
	char number[40];

	snprintf(number, sizeof(number), "%.4f", value);
	json_add_key(json, key);
	json_add_raw(json, number);
}

static void
print(const struct ctl *ctl, const struct replay *replay)
{
	const struct trace *trace = replay->trace;
	double bound = trace_bound(trace, replay->slots);
	double first =
	    trace_simulate(trace, replay->slots, TRACE_CRITICAL_FIRST);
	double come = trace_simulate(trace, replay->slots, TRACE_FIRST_COME);
	struct json json = JSON_EMPTY;

	if (ctl_json(ctl)) {
		json_begin(&json, '{');
		json_add_key(&json, "name");
		json_add_string(&json, trace->name);
		json_add_key(&json, "tasks");
		json_add_number(&json, (int64_t)trace->count);
		json_add_key(&json, "edges");
		json_add_number(&json, (int64_t)trace->edges);
		json_add_key(&json, "slots");
		json_add_number(&json, (int64_t)replay->slots);
		add_figure(&json, "speed", replay->speed);
		add_figure(&json, "critical_path", trace->critical_path);
		add_figure(&json, "work", trace->work);
		add_figure(&json, "bound", bound);
		add_figure(&json, "makespan", replay->makespan);
		add_figure(&json, "ratio", replay->makespan / bound);
		add_figure(&json, "simulated_ratio", first / bound);
		add_figure(&json, "first_come_ratio", come / bound);
		json_end(&json, '}');
		json_print(&json);
		return;
	}
	printf("%s: %zu tasks, %zu edges, %zu slots, %g times faster\n",
	    trace->name, trace->count, trace->edges, replay->slots,
	    replay->speed);
	printf("critical path  %.3f s\n", trace->critical_path);
	printf("work / slots   %.3f s\n", trace->work / (double)replay->slots);
	printf("makespan       %.3f s, %.3f of the bound\n", replay->makespan,
	    replay->makespan / bound);
	printf("simulated      %.3f critical path first, %.3f first come\n",
	    first / bound, come / bound);
}

/* Only one at a time: the queue is theirs. */
static int
lock(struct ctl *ctl)
{
	PGresult *result;
	bool got;
	int code = session_query(ctl, &result,
	    "SELECT pg_try_advisory_lock(hashtext('muster replay'))", 0, NULL);

	if (code != 0)
		return code;
	got = strcmp(PQgetvalue(result, 0, 0), "t") == 0;
	PQclear(result);
	return got ? 0 : ctl_fail(CTL_AGAIN, "another replay is running");
}

/* What a daemon that has just started does for the first time takes it many
 * times as long: small tasks that need each other (1, 8, 1, 8, 1, 8) go before
 * the trace, and leave nothing. */
static int
warm_up(struct ctl *ctl, struct replay *replay)
{
	int code = submit_by(ctl, replay,
	    "SELECT muster.submit_flow(jsonb_build_object('flow', 'warm-up',"
	    " 'tasks', jsonb_agg(jsonb_build_object('name', n::text,"
	    " 'kind', 'replay', 'queue', 'replay', 'expect', '1ms',"
	    " 'payload', '{\"sleep\": 0.001}'::jsonb,"
	    " 'needs', CASE WHEN n = 0 THEN '[]'::jsonb"
	    " WHEN n % 9 > 0 THEN jsonb_build_array((n - n % 9)::text)"
	    " ELSE (SELECT jsonb_agg(g::text)"
	    " FROM generate_series(n - 8, n - 1) g) END))))"
	    " FROM generate_series(0, 26) n",
	    NULL);
	int gone;

	if (code == 0)
		code = follow(ctl, replay, look);
	if (code != 0 && code != CTL_INTERRUPTED)
		return code;
	gone = forget(ctl, replay);
	if (gone == 0)
		gone = follow(ctl, replay, look_for_tasks);
	return code != 0 ? code : gone;
}

static int
run(struct ctl *ctl, struct replay *replay)
{
	struct replay_daemon daemon;
	int code = session_connect(ctl);

	if (code == 0)
		code = lock(ctl);
	if (code != 0)
		return code;
	interrupt_hold();
	code = replay_daemon_start(
	    ctl, replay->slots, replay->trace->kind_count, &daemon);
	if (code == 0)
		code = warm_up(ctl, replay);
	if (code == 0)
		code = submit(ctl, replay);
	if (code == 0)
		code = follow(ctl, replay, look);
	if (code == 0)
		code = measure(ctl, replay);
	replay_daemon_stop(&daemon);
	return code;
}

int
verb_replay(struct ctl *ctl)
{
	struct replay replay = {0};
	int code = read_options(ctl, &replay);

	if (code == 0)
		code = read_trace(ctl, &replay);
	if (code == 0)
		code = run(ctl, &replay);
	if (code == 0)
		print(ctl, &replay);
	trace_free(replay.trace);
	return code;
}
