/*
 * A program that runs, with a pipe at each of its standard descriptors. Its
 * input is written and its output read as they can be, on the event loop; its
 * end is seen by pidfd.
 *
 * The direct child's end decides. Its group is killed before it is reaped, so
 * that the group's number cannot mean another group by then; what the pipes
 * hold at that moment is read, their end of file is not waited for.
 */
#ifndef DAEMON_HANDLERS_PROCESS_H
#define DAEMON_HANDLERS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/log.h"
#include "common/text.h"
#include "daemon/handlers/output.h"
#include "daemon/handlers/spawn.h"

struct event_base;
struct process;

struct process_result {
	int code, status;  /* as waitid gives them: CLD_EXITED, … */
	bool overflowed;   /* wrote more than output_limit, was killed */
	const char *limit; /* the one that ended it, in words; NULL: none */
	int pids_refused;  /* pids_max that it ran into; 0: it did not */
	size_t output_limit;
	struct text *output;		 /* may be changed */
	const struct output_lines *said; /* on standard error */
};

/* Called once, from the loop; the process is freed after it. */
typedef void process_end_cb(
    const struct process_result *result, void *argument);

struct process_options {
	struct event_base *base;
	const char *input; /* lives until the end */
	size_t input_size, output_limit;
	struct log_context context; /* of what it says; likewise */
	output_about_cb *describe;  /* adds to it when it says something */
	bool logs_output;	    /* standard output goes to the log, too */
	int64_t log_window_ms;	    /* of OUTPUT_LINES; 0: its whole life */
	const struct handler_config *handler; /* whose limits hold; likewise */
	process_end_cb *on_end;
	void *argument;
};

/* Before the first of a process: makes room for descriptors of programs. */
void process_prepare(void);

/* `spawn` without its descriptors. 0, or -errno and what failed. Between
 * adopted_open and adopted_close. */
int process_new(const struct process_options *options,
    const struct spawn *spawn, struct process **ret_process,
    struct spawned *ret_spawned, enum spawn_step *ret_failed)
    __attribute__((warn_unused_result));

/* Logs what it has said so far. */
void process_listen(struct process *process);

/* Sends a signal to its group. */
void process_signal(struct process *process, int signal_number);

#endif
