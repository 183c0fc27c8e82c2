#include "daemon/handlers/process_words.h"

#include <string.h>
#include <sys/wait.h>

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

void
process_add_last_words(
    const struct process_result *result, struct text *ret_text)
{
	size_t length;
	const char *said = output_lines_tail(result->said, &length);
	bool one_line = memchr(said, '\n', length) == NULL;

	if (length == 0)
		return;
	text_add_string(ret_text, one_line ? ": " : ":\n");
	text_add(ret_text, said, length);
}

void
process_words(const struct process_result *result, struct text *ret_text)
{
	if (result->limit != NULL)
		text_add_string(ret_text, result->limit);
	else if (result->code == CLD_EXITED)
		text_addf(ret_text, "exit status %d", result->status);
	else
		add_signal(result, ret_text);
	if (result->pids_refused > 0)
		text_addf(ret_text, " (pids_max, %d, was reached)",
		    result->pids_refused);
	process_add_last_words(result, ret_text);
}
