/*
 * A stand-in for the worker around one exec handler: a real event base and a
 * real scoreboard, tasks that are started and cancelled by hand, the log kept
 * as text. One trial a test.
 */
#ifndef TESTS_UNIT_TRIAL_H
#define TESTS_UNIT_TRIAL_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/config.h"
#include "common/text.h"
#include "daemon/handlers/handler.h"

struct trial_task {
	struct task task;
	bool done;
	enum outcome_kind kind;
	char *result, *error; /* owned; NULL: none */
	int64_t ran_ms;
};

struct trial {
	struct event_base *base;
	struct config config;
	struct handler_config handler_config;
	struct handler *handler;
	struct scoreboard *scoreboard;
	int done; /* tasks */
};

extern struct trial trial;

/* What was logged: "kind-of-message task message\n" each. */
extern struct text trial_log;
int trial_log_lines(void);

/* A case whose tests begin with a trial_prepare and end with trial_close. */
TCase *trial_case(Suite *suite, const char *name);
void trial_prepare(void);
void trial_close(void); /* fails if any process is left */

/* The handler, of this program or of a line for /bin/sh. */
void trial_open(char *const *argv);
void trial_shell(const char *script);

/* `task` needs only what differs: id 7, attempt 1, payload {}. */
void trial_start(struct trial_task *task);
void trial_cancel(struct trial_task *task, int64_t grace_ms);
/* Lets the loop turn until that many tasks are done, or fails after 20 s. */
void trial_wait(int done);
void trial_turn(int ms); /* or for a time */
void trial_task_free(struct trial_task *task);

/* One task from start to end, and what it should come to (NULL: nothing). */
struct trial_task trial_run(const char *script);
void trial_check(const char *script, enum outcome_kind kind, const char *result,
    const char *error);
void trial_check_log(const char *wanted);

#endif
