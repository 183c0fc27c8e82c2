/*
 * How a process ended, and how long things took, in words for the log.
 */
#ifndef SUPERVISOR_WORDS_H
#define SUPERVISOR_WORDS_H

#include <signal.h>
#include <stdint.h>

enum { WORDS_SIZE = 96 };

/* "exited with 78 (configuration or schema)", "killed by signal 9 (SIGKILL)";
 * from what waitid gave. */
void words_of_end(const siginfo_t *info, char ret_words[WORDS_SIZE]);

/* "0.25 s", "12 s", "3 min 20 s", "5 h 12 min", "3 d 4 h". */
void words_of_time(int64_t ms, char ret_words[WORDS_SIZE]);

#endif
