#include "daemon/handlers/exec_end.h"

#include <sys/wait.h>
#include <sysexits.h>

#include "daemon/handlers/process_words.h"

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

void
exec_end_describe(const struct process_result *result, struct text *ret_text)
{
	if (!result->overflowed) {
		process_words(result, ret_text);
		return;
	}
	text_addf(ret_text,
	    "standard output is larger than max_result (%zu bytes)",
	    result->output_limit);
	process_add_last_words(result, ret_text);
}
