/* The end of a program in words: for a task's error and for the log. */
#ifndef DAEMON_HANDLERS_PROCESS_WORDS_H
#define DAEMON_HANDLERS_PROCESS_WORDS_H

#include "common/text.h"
#include "daemon/handlers/process.h"

/* "exit status 3: its last lines", "killed by signal 11 (SIGSEGV)" */
void process_words(const struct process_result *result, struct text *ret_text);

/* The last lines alone, after a colon; nothing when it said nothing. */
void process_add_last_words(
    const struct process_result *result, struct text *ret_text);

#endif
