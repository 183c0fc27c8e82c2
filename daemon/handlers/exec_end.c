#include "daemon/handlers/exec_end.h"

#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>

static enum outcome_kind
kind_of_status(int status)
{
	switch (status) {
	case EX_DATAERR:
		return OUTCOME_FAILED_HARD;
	case EX_TEMPFAIL:
		return OUTCOME_TRY_LATER;
	case 126: /* what a shell says when it */
	case 127: /* can't run a command */
		return OUTCOME_CANNOT_RUN;
	default:
		return OUTCOME_FAILED;
	}
}

enum outcome_kind
exec_end_kind(const struct process_result *result, bool told)
{
	if (result->overflowed)
		return OUTCOME_FAILED_HARD;
	if (told)
		return OUTCOME_CANCELLED;
	if (result->limit != NULL)
		return OUTCOME_FAILED;
	if (result->code == CLD_EXITED)
		return kind_of_status(result->status);
	return OUTCOME_FAILED;
}

static void
add_signal(const struct process_result *result, struct text *text)
{
	const char *name = sigabbrev_np(result->status);

	text_addf(text, "killed by signal %d", result->status);
	if (name != NULL)
		text_addf(text, " (SIG%s)", name);
	if (result->code == CLD_DUMPED)
		text_add_string(text, ", core dumped");
}

static void
add_last_words(const struct process_result *result, struct text *text)
{
	size_t length;
	const char *said = output_lines_tail(result->said, &length);
	bool one_line = memchr(said, '\n', length) == NULL;

	if (length == 0)
		return;
	text_add_string(text, one_line ? ": " : ":\n");
	text_add(text, said, length);
}

void
exec_end_describe(const struct process_result *result, struct text *ret_text)
{
	if (result->overflowed)
		text_addf(ret_text,
		    "standard output is larger than max_result (%zu bytes)",
		    result->output_limit);
	else if (result->limit != NULL)
		text_add_string(ret_text, result->limit);
	else if (result->code == CLD_EXITED)
		text_addf(ret_text, "exit status %d", result->status);
	else
		add_signal(result, ret_text);
	if (result->pids_refused > 0)
		text_addf(ret_text, " (pids_max, %d, was reached)",
		    result->pids_refused);
	add_last_words(result, ret_text);
}
