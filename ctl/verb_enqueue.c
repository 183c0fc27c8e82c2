/* musterctl enqueue */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/format.h"
#include "ctl/handled.h"
#include "ctl/input.h"
#include "ctl/json.h"
#include "ctl/session.h"
#include "ctl/verb_list.h"
#include "common/duration.h"

const struct option enqueue_options[] = {
    {"queue", 'q', "QUEUE", "into this queue (default)"},
    {"priority", 'p', "NUMBER", "-1000 … 1000, higher goes first (0)"},
    {"in", 0, "DURATION", "not before so long from now, such as 5m"},
    {"at", 0, "TIME", "not before this time, as PostgreSQL reads it"},
    {"after", 0, "IDS", "when these tasks (41,42) are over"},
    {"when", 0, "HOW", "they have succeeded (default), finished or failed"},
    {"flow", 'f', "ID", "as a further task of this flow"},
    {"max-attempts", 0, "COUNT", "tries before it has failed"},
    {"timeout", 0, "DURATION", "of one attempt"},
    {"unique", 'u', "KEY", "only if no open task has this unique key"},
    {"unique-for", 0, "DURATION", "the key is taken for so long from now on"},
    {"on-conflict", 0, "HOW", "keep (default), replace, or an error"},
    {"lock", 0, "KEY", "runs while no other task with this key does"},
    {"lock-limit", 0, "COUNT", "or at most so many together (1)"},
    {"no-check", 0, NULL, "even if no live worker handles it"},
    {0},
};

const char enqueue_examples[] =
    "musterctl enqueue resize '{\"name\": \"a.png\"}'\n"
    "musterctl enqueue report - --queue reports <payload.json\n"
    "musterctl enqueue cleanup --in 10m --max-attempts 3\n"
    "musterctl enqueue publish --after 41,42 --when finished\n"
    "musterctl enqueue sync --unique sync-7 --on-conflict replace\n"
    "musterctl enqueue resize --lock gpu --lock-limit 2\n";

static const char sql[] =
    "SELECT id, outcome FROM muster.enqueue_unique("
    " kind => $1::text, payload => $2::text::jsonb,"
    " queue => $3::text, priority => $4::int,"
    " run_at => coalesce($5::timestamptz,"
    " now() + $6::bigint * interval '1 ms'),"
    " depends_on => $7::bigint[], depends_when => $8::text,"
    " flow_id => $9::bigint, max_attempts => $10::int,"
    " timeout => $11::bigint * interval '1 ms', unique_key => $12::text,"
    " unique_for => $13::bigint * interval '1 ms',"
    " on_conflict => coalesce($14::text, 'keep'), lock_key => $15::text,"
    " lock_limit => coalesce($16::int, 1))";

enum { VALUES = 16 };

/* The task as it goes to SQL; strings are the command line's. */
struct request {
	struct text payload, after;
	char in_ms[24], timeout_ms[24], unique_ms[24];
	const char *values[VALUES];
};

static int
read_duration(const struct ctl *ctl, const char *name, char *buffer,
    size_t size, const char **ret_value)
{
	const char *word = ctl_option(ctl, name);
	int64_t ms;

	*ret_value = NULL;
	if (word == NULL)
		return 0;
	if (duration_parse(word, &ms) < 0)
		return ctl_usage(ctl,
		    "--%s '%s' is no duration; write 500ms, 30s, 5m, 2h", name,
		    word);
	snprintf(buffer, size, "%lld", (long long)ms);
	*ret_value = buffer;
	return 0;
}

/* "41,42" as an array of PostgreSQL. */
static int
read_after(const struct ctl *ctl, struct text *array)
{
	const char *at = ctl_option(ctl, "after");

	if (at == NULL)
		return 0;
	if (strspn(at, "0123456789,") != strlen(at) || *at == '\0')
		return ctl_usage(ctl, "--after '%s' is no list of ids", at);
	text_addf(array, "{%s}", at);
	return 0;
}

/* JSON may be written in more bytes than the database keeps of it: \u0061,
 * indentation. What is larger than so many limits cannot fit. */
enum { LOOSELY_WRITTEN = 8 };

static int
read_limit(struct ctl *ctl, int64_t *ret_limit)
{
	PGresult *result;
	int code =
	    session_query(ctl, &result, "SELECT muster.max_payload()", 0, NULL);

	if (code != 0)
		return code;
	*ret_limit = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	PQclear(result);
	return 0;
}

static int
too_large(size_t size, int64_t limit)
{
	return ctl_fail(CTL_FAILED,
	    "a payload of %s%zu bytes is over max_payload (%lld); store the "
	    "data elsewhere and name its place, or raise max_payload in "
	    "musterd.yaml; nothing was enqueued",
	    size > INPUT_LIMIT ? "more than " : "",
	    size > INPUT_LIMIT ? INPUT_LIMIT : size, (long long)limit);
}

static int
read_input(struct ctl *ctl, struct text *payload)
{
	int64_t limit = 0;
	size_t kept, size;
	int code = read_limit(ctl, &limit);
	int rc;

	if (code != 0)
		return code;
	kept = limit < INPUT_LIMIT / LOOSELY_WRITTEN
		   ? (size_t)limit * LOOSELY_WRITTEN
		   : INPUT_LIMIT;
	rc = input_read_limited(kept, payload, &size);
	if (rc == -EFBIG)
		return too_large(size, limit);
	if (rc < 0)
		return ctl_fail(CTL_FAILED, "standard input cannot be read: %s",
		    strerror(-rc));
	return 0;
}

static int
read_payload(struct ctl *ctl, struct text *payload)
{
	const char *word = ctl_argument(ctl, 1);
	int code;

	if (word == NULL || strcmp(word, "-") != 0) {
		text_add_string(payload, word != NULL ? word : "{}");
		return 0;
	}
	code = read_input(ctl, payload);
	if (code != 0)
		return code;
	if (memchr(text_string(payload), '\0', payload->length) != NULL)
		return ctl_fail(CTL_FAILED,
		    "the payload has a NUL character, which is no JSON");
	if (!utf8_is_valid(text_string(payload), payload->length))
		return ctl_fail(CTL_FAILED, "the payload is no valid UTF-8");
	return 0;
}

static int
read_numbers(struct ctl *ctl, struct request *request)
{
	const char *priority = ctl_option(ctl, "priority");
	const char *attempts = ctl_option(ctl, "max-attempts");
	const char *flow = ctl_option(ctl, "flow");
	int64_t id;

	if (priority != NULL && !format_is_int(priority, -1000, 1000))
		return ctl_usage(ctl,
		    "--priority '%s' is no number from -1000 to 1000",
		    priority);
	if (attempts != NULL && !format_is_int(attempts, 1, INT32_MAX))
		return ctl_usage(
		    ctl, "--max-attempts '%s' is no count", attempts);
	if (flow != NULL && !format_parse_id(flow, &id))
		return ctl_usage(ctl, "--flow '%s' is no id", flow);
	request->values[3] = priority != NULL ? priority : "0";
	request->values[8] = flow;
	request->values[9] = attempts;
	return 0;
}

static int
read_keys(struct ctl *ctl, struct request *request)
{
	const char *how = ctl_option(ctl, "on-conflict");
	const char *limit = ctl_option(ctl, "lock-limit");

	request->values[11] = ctl_option(ctl, "unique");
	request->values[13] = how;
	request->values[14] = ctl_option(ctl, "lock");
	request->values[15] = limit;
	if (how != NULL && strcmp(how, "keep") != 0 &&
	    strcmp(how, "replace") != 0 && strcmp(how, "error") != 0)
		return ctl_usage(ctl,
		    "--on-conflict '%s' is none of keep, replace, error", how);
	if (limit != NULL && !format_is_int(limit, 1, 1000000))
		return ctl_usage(ctl,
		    "--lock-limit '%s' is no count from 1 to 1000000", limit);
	if (request->values[11] == NULL &&
	    (how != NULL || ctl_option(ctl, "unique-for") != NULL))
		return ctl_usage(
		    ctl, "--unique-for and --on-conflict need --unique");
	if (request->values[14] == NULL && limit != NULL)
		return ctl_usage(ctl, "--lock-limit needs --lock");
	return read_duration(ctl, "unique-for", request->unique_ms,
	    sizeof(request->unique_ms), &request->values[12]);
}

static int
read_request(struct ctl *ctl, struct request *request)
{
	const char *when = ctl_option(ctl, "when");
	const char *queue = ctl_option(ctl, "queue");
	int code;

	if ((code = read_numbers(ctl, request)) != 0 ||
	    (code = read_duration(ctl, "in", request->in_ms,
		 sizeof(request->in_ms), &request->values[5])) != 0 ||
	    (code = read_duration(ctl, "timeout", request->timeout_ms,
		 sizeof(request->timeout_ms), &request->values[10])) != 0 ||
	    (code = read_keys(ctl, request)) != 0 ||
	    (code = read_after(ctl, &request->after)) != 0)
		return code;
	if (request->values[5] != NULL && ctl_option(ctl, "at") != NULL)
		return ctl_usage(ctl, "--in and --at exclude each other");
	request->values[0] = ctl_argument(ctl, 0);
	request->values[2] = queue != NULL ? queue : "default";
	request->values[4] = ctl_option(ctl, "at");
	request->values[6] =
	    request->after.length > 0 ? text_string(&request->after) : NULL;
	request->values[7] = when != NULL ? when : "succeeded";
	return 0;
}

/* Whether somebody would run it. Without any worker there is nothing to tell
 * a slip from: the task waits for the first. */
static int
check_handled(struct ctl *ctl, const struct request *request)
{
	struct handled handled;
	struct error error;
	int code;

	if (ctl_option(ctl, "no-check") != NULL)
		return 0;
	code = handled_read(ctl, &handled);
	if (code != 0)
		return code;
	if (!handled.any_worker)
		fputs("musterctl: no worker is alive, the task will wait\n",
		    stderr);
	else if (handled_nobody(
		     &handled, request->values[2], request->values[0], &error))
		code = ctl_fail(CTL_FAILED,
		    "%s; nothing was enqueued (--no-check does it anyway)",
		    error.text);
	handled_free(&handled);
	return code;
}

/* The id alone goes to standard output. */
static void
tell_outcome(const char *outcome)
{
	if (strcmp(outcome, "kept") == 0)
		fputs("musterctl: this task has the unique key; nothing was "
		      "enqueued\n",
		    stderr);
	else if (strcmp(outcome, "replacing") == 0)
		fputs("musterctl: it replaces the task that has the unique "
		      "key\n",
		    stderr);
}

static int
submit(struct ctl *ctl, const struct request *request)
{
	struct json json = JSON_EMPTY;
	PGresult *result;
	int code = session_query(ctl, &result, sql, VALUES, request->values);

	if (code == CTL_FAILED)
		return ctl_fail(code, "nothing was enqueued");
	if (code != 0)
		return code;
	if (ctl_json(ctl)) {
		json_begin(&json, '{');
		json_add_key(&json, "task");
		json_add_string(&json, PQgetvalue(result, 0, 0));
		json_add_key(&json, "outcome");
		json_add_string(&json, PQgetvalue(result, 0, 1));
		json_end(&json, '}');
		json_print(&json);
	} else {
		tell_outcome(PQgetvalue(result, 0, 1));
		printf("%s\n", PQgetvalue(result, 0, 0));
	}
	PQclear(result);
	return CTL_DONE;
}

int
verb_enqueue(struct ctl *ctl)
{
	struct request request = {0};
	int code = read_request(ctl, &request);

	if (code == 0)
		code = session_connect(ctl);
	if (code == 0)
		code = read_payload(ctl, &request.payload);
	request.values[1] = text_string(&request.payload);
	if (code == 0)
		code = check_handled(ctl, &request);
	if (code == 0)
		code = submit(ctl, &request);
	text_free(&request.payload);
	text_free(&request.after);
	return code;
}
