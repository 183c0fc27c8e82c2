#include "tests/unit/trial.h"

#include <check.h>
#include <event2/event.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"

struct text trial_log;
struct trial trial;
static int log_lines;

int
trial_log_lines(void)
{
	return log_lines;
}

/* In place of the log. */

enum log_level
log_level_now(void)
{
	return LOG_LEVEL_INFO;
}

bool
log_level_parse(const char *name, enum log_level *ret_level)
{
	(void)name, (void)ret_level;
	return false;
}

void
log_write(enum log_level level, enum log_kind kind,
    const struct log_context *context, const char *format, ...)
{
	static char line[1 << 17];
	va_list arguments;

	(void)level;
	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	text_addf(&trial_log, "%d %d %s\n", (int)kind,
	    context != NULL ? (int)context->task : 0, line);
	log_lines++;
}

static void
on_done(struct task *task, const struct outcome *outcome, void *argument)
{
	(void)argument;
	struct trial_task *tried = (struct trial_task *)task;

	ck_assert(!tried->done);
	tried->done = true;
	tried->kind = outcome->kind;
	tried->ran_ms = mono_ms_between(task->started, mono_now());
	if (outcome->result != NULL)
		tried->result = strndup(outcome->result, outcome->result_size);
	if (outcome->error != NULL)
		tried->error = strndup(outcome->error, outcome->error_size);
	scoreboard_task_end(trial.scoreboard, task->scoreboard_slot);
	trial.done++;
}

static void
catch_up(void *argument)
{
	(void)argument;
}

/* As a worker has it: its supervisor made it. */
static struct scoreboard *
open_scoreboard(void)
{
	struct scoreboard *supervisors = scoreboard_new();
	struct scoreboard *ours;

	ck_assert_ptr_nonnull(supervisors);
	ours = scoreboard_open(dup(scoreboard_fd(supervisors)));
	ck_assert_ptr_nonnull(ours);
	scoreboard_free(supervisors);
	return ours;
}

void
trial_prepare(void)
{
	signal(SIGPIPE, SIG_IGN);
	trial = (struct trial){.base = event_base_new()};
	trial.scoreboard = open_scoreboard();
	trial.config.max_result_bytes = 1 << 20;
	trial.handler_config.kind = strdup("resize");
	trial.handler_config.type = HANDLER_EXEC;
	trial.handler_config.umask = -1;
}

void
trial_open(char *const *argv)
{
	struct handler_host host = {
	    .base = trial.base,
	    .scoreboard = trial.scoreboard,
	    .config = &trial.config,
	    .on_done = on_done,
	    .catch_up = catch_up,
	};
	char **copy = calloc(16, sizeof(char *));

	for (int i = 0; argv[i] != NULL; i++)
		copy[i] = strdup(argv[i]);
	trial.handler_config.argv = copy;
	trial.handler = handler_exec.open(&host, &trial.handler_config);
}

/* Nothing that a handler started may be left, not even a zombie. */
static void
check_no_children(void)
{
	siginfo_t info = {0};

	for (int i = 0; i < 400; i++) {
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
			return;
		trial_turn(10);
	}
	ck_abort_msg("process %d is left", (int)info.si_pid);
}

void
trial_close(void)
{
	check_no_children();
	handler_exec.close(trial.handler);
	scoreboard_free(trial.scoreboard);
	event_base_free(trial.base);
	for (int i = 0; trial.handler_config.argv[i] != NULL; i++)
		free(trial.handler_config.argv[i]);
	free(trial.handler_config.argv);
	free(trial.handler_config.kind);
	text_free(&trial_log);
}

void
trial_start(struct trial_task *tried)
{
	struct task *task = &tried->task;

	if (task->id == 0)
		task->id = 7;
	if (task->payload == NULL) {
		task->payload = "{}";
		task->payload_size = 2;
	}
	task->attempt += task->attempt == 0;
	task->kind = "resize";
	task->queue = "default";
	task->started = mono_now();
	task->scoreboard_slot = scoreboard_task_begin(
	    trial.scoreboard, task->id, task->queue, task->kind);
	ck_assert_int_ge(task->scoreboard_slot, 0);
	handler_exec.start(trial.handler, task);
}

void
trial_cancel(struct trial_task *task, int64_t grace_ms)
{
	handler_exec.cancel(trial.handler, &task->task, CANCEL_ASKED, grace_ms);
}

void
trial_turn(int ms)
{
	struct timeval limit = {
	    .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	event_base_loopexit(trial.base, &limit);
	event_base_loop(trial.base, EVLOOP_NO_EXIT_ON_EMPTY);
}

void
trial_wait(int done)
{
	struct mono began = mono_now();

	while (trial.done < done) {
		ck_assert_int_lt(mono_ms_between(began, mono_now()), 20000);
		event_base_loop(trial.base, EVLOOP_ONCE);
	}
}

void
trial_task_free(struct trial_task *task)
{
	free(task->result);
	free(task->error);
}

void
trial_shell(const char *script)
{
	trial_open((char *[]){
	    strdupa("/bin/sh"), strdupa("-c"), strdupa(script), NULL});
}

struct trial_task
trial_run(const char *script)
{
	struct trial_task task = {0};

	trial_shell(script);
	trial_start(&task);
	trial_wait(1);
	return task;
}

void
trial_check(const char *script, enum outcome_kind kind, const char *result,
    const char *error)
{
	struct trial_task task = trial_run(script);

	ck_assert_int_eq(task.kind, kind);
	ck_assert_pstr_eq(task.result, result);
	ck_assert_pstr_eq(task.error, error);
	trial_task_free(&task);
}

void
trial_check_log(const char *wanted)
{
	ck_assert_msg(strstr(text_string(&trial_log), wanted) != NULL,
	    "no \"%s\" in \"%s\"", wanted, text_string(&trial_log));
}

TCase *
trial_case(Suite *suite, const char *name)
{
	TCase *tests = tcase_create(name);

	suite_add_tcase(suite, tests);
	tcase_add_checked_fixture(tests, trial_prepare, trial_close);
	tcase_set_timeout(tests, 30);
	return tests;
}
