#include "daemon/worker/verdict.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/backoff.h"
#include "common/duration.h"
#include "common/text.h"

enum { WISH_LIMIT_MS = 24 * 60 * 60 * 1000 }; /* of a handler's wish */

static void
set_error(struct finish *finish, struct text *text)
{
	free(finish->error);
	finish->error_size = text->length;
	finish->error = text_steal(text);
}

/* `prefix` and what the handler said, as text that PostgreSQL takes. */
static void
keep_error(
    struct finish *finish, const char *prefix, const struct outcome *outcome)
{
	struct text text = TEXT_EMPTY;

	text_add_string(&text, prefix);
	if (outcome->error != NULL && outcome->error_size > 0) {
		if (text.length > 0)
			text_add_string(&text, ": ");
		text_add_utf8(&text, outcome->error, outcome->error_size,
		    VERDICT_ERROR_BYTES);
	}
	if (text.length == 0)
		text_add_string(&text, "failed without saying why");
	set_error(finish, &text);
}

void
verdict_fail(struct finish *finish, const char *format, ...)
{
	struct text text = TEXT_EMPTY;
	char line[1024];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	text_add_utf8(&text, line, strlen(line), sizeof(line));
	set_error(finish, &text);
	free(finish->result);
	finish->result = NULL;
	finish->result_size = 0;
	finish->delay_ms = 0;
	finish->outcome = 'f';
}

static void
attempt_failed(
    const struct verdict_case *what, int64_t after_ms, struct finish *finish)
{
	if (what->attempt >= what->max_attempts) {
		finish->outcome = 'f';
		return;
	}
	finish->outcome = 'r';
	if (after_ms < 0)
		after_ms =
		    backoff_task_ms(what->backoff, what->attempt, what->random);
	else if (after_ms > WISH_LIMIT_MS)
		after_ms = WISH_LIMIT_MS;
	finish->delay_ms = after_ms;
}

static void
succeeded(const struct verdict_case *what, const struct outcome *outcome,
    struct finish *finish)
{
	finish->outcome = 's';
	if (outcome->result == NULL)
		return;
	if ((int64_t)outcome->result_size > what->max_result_bytes) {
		verdict_fail(finish,
		    "the result has %zu bytes, more than max_result (%" PRId64
		    ")",
		    outcome->result_size, what->max_result_bytes);
		return;
	}
	if (!utf8_is_valid(outcome->result, outcome->result_size)) {
		verdict_fail(finish, "the result is not valid UTF-8");
		return;
	}
	finish->result = strndup(outcome->result, outcome->result_size);
	if (finish->result == NULL)
		abort();
	finish->result_size = outcome->result_size;
}

/* Again without a charge, but not for ever. */
static void
put_off(const struct verdict_case *what, const struct outcome *outcome,
    struct finish *finish)
{
	char prefix[64] = "";

	if (what->snoozes >= VERDICT_SNOOZES) {
		(void)snprintf(prefix, sizeof(prefix),
		    "given up after %d uncharged tries", what->snoozes);
		keep_error(finish, prefix, outcome);
		finish->outcome = 'f';
		return;
	}
	keep_error(finish, prefix, outcome);
	finish->outcome = 'u';
	finish->delay_ms = outcome->after_ms;
	if (finish->delay_ms < 0)
		finish->delay_ms = backoff_task_ms(
		    what->backoff, what->snoozes + 1, what->random);
	if (finish->delay_ms > WISH_LIMIT_MS)
		finish->delay_ms = WISH_LIMIT_MS;
}

static void
timed_out(const struct verdict_case *what, const struct outcome *outcome,
    struct finish *finish)
{
	struct text prefix = TEXT_EMPTY;

	text_add_string(&prefix, "timed out after ");
	duration_format(what->timeout_ms, &prefix);
	keep_error(finish, text_string(&prefix), outcome);
	text_free(&prefix);
	attempt_failed(what, -1, finish);
}

/* It ended without success after we had told it to end. */
static void
ended_as_told(const struct verdict_case *what, const struct outcome *outcome,
    struct finish *finish)
{
	if (what->reason == CANCEL_TIMEOUT) {
		timed_out(what, outcome, finish);
	} else if (what->reason == CANCEL_SHUTDOWN) {
		finish->outcome = 'b';
	} else {
		keep_error(finish, "cancelled", outcome);
		finish->outcome = 'c';
	}
}

static void
ended_by_itself(const struct verdict_case *what, const struct outcome *outcome,
    struct finish *finish)
{
	switch (outcome->kind) {
	case OUTCOME_TRY_LATER:
	case OUTCOME_CANNOT_RUN:
		put_off(what, outcome, finish);
		break;
	case OUTCOME_NOT_BEGUN:
		finish->outcome = 'b';
		break;
	case OUTCOME_FAILED_HARD:
		keep_error(finish, "", outcome);
		finish->outcome = 'f';
		break;
	default:
		keep_error(finish, "", outcome);
		attempt_failed(what, outcome->after_ms, finish);
	}
}

enum verdict
verdict_of(const struct verdict_case *what, const struct outcome *outcome,
    struct finish *ret_finish)
{
	if (outcome->kind == OUTCOME_RECORDED)
		return VERDICT_RECORDED;
	if (what->cancelled && what->reason == CANCEL_FENCED)
		return VERDICT_DROP;
	if (outcome->kind == OUTCOME_SUCCEEDED)
		succeeded(what, outcome, ret_finish);
	else if (what->cancelled)
		ended_as_told(what, outcome, ret_finish);
	else
		ended_by_itself(what, outcome, ret_finish);
	return VERDICT_TELL;
}
