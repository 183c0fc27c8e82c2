/*
 * exec: one process a task. The payload goes to its standard input, standard
 * output becomes the result, standard error the log; the exit status says how
 * it ended.
 *
 *   QUEUED ──→ RUNNING ──→ TOLD ──→ KILLED      TOLD: has had SIGTERM
 *      │          └──────────┴────────┴──→ (outcome reported, gone)
 *      └─────→ DROPPED ───────────────────→
 */
#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/busy.h"
#include "common/log.h"
#include "common/text.h"
#include "daemon/handlers/adopted.h"
#include "daemon/handlers/environment.h"
#include "daemon/handlers/exec_end.h"
#include "daemon/handlers/handler.h"
#include "daemon/handlers/inputs.h"
#include "daemon/handlers/process.h"
#include "daemon/handlers/task_cgroup.h"

enum {
	RUN_MAGIC = 0x72756e21,
	START_BUDGET_US = 4000, /* of starts between two turns of the loop */
	KILL_AGAIN_MS = 5000,
};

enum run_state {
	RUN_QUEUED,
	RUN_DROPPED, /* cancelled before its start */
	RUN_RUNNING,
	RUN_TOLD,
	RUN_KILLED,
};

struct run {
	uint32_t magic;
	enum run_state state;
	struct handler *handler;
	struct task *task;
	TAILQ_ENTRY(run) link; /* of those that have not started */
	struct process *process;
	int inputs;	     /* descriptor; -1: none of its own */
	struct event *timer; /* what follows in TOLD and KILLED */
	struct mono kill_at;
};

struct handler {
	struct handler_host host;
	const struct handler_config *config;
	struct environment *environment;
	struct spawn_limits limits;
	char *program;		   /* NULL: not found */
	int no_inputs;		   /* for tasks without needs */
	TAILQ_HEAD(, run) waiting; /* QUEUED and DROPPED */
	struct event *start_event;
	int runs;
};

static struct run *
checked(void *argument)
{
	struct run *run = argument;

	assert(run->magic == RUN_MAGIC);
	return run;
}

/* Frees the run and reports; nothing may be touched after it. */
static void
report(struct run *run, const struct outcome *outcome)
{
	struct handler_host *host = &run->handler->host;
	struct task *task = run->task;

	if (run->timer != NULL)
		event_free(run->timer);
	if (run->inputs >= 0)
		close(run->inputs);
	run->handler->runs--;
	run->magic = 0;
	free(run);
	task->state = NULL;
	host->on_done(task, outcome, host->argument);
}

static void
report_error(struct run *run, enum outcome_kind kind, const char *error)
{
	struct outcome outcome = {
	    .kind = kind,
	    .error = error,
	    .error_size = strlen(error),
	    .after_ms = -1,
	};

	report(run, &outcome);
}

static void
report_success(struct run *run, const struct process_result *result)
{
	struct outcome outcome = {.kind = OUTCOME_SUCCEEDED, .after_ms = -1};
	const char *wrong = output_to_result(result->output);
	struct text error = TEXT_EMPTY;

	if (wrong != NULL) {
		text_addf(&error, "standard output %s", wrong);
		report_error(run, OUTCOME_FAILED_HARD, text_string(&error));
		text_free(&error);
		return;
	}
	if (result->output->length > 0) {
		outcome.result = result->output->data;
		outcome.result_size = result->output->length;
	}
	report(run, &outcome);
}

static void
report_failure(struct run *run, const struct process_result *result)
{
	bool told = run->state == RUN_TOLD || run->state == RUN_KILLED;
	struct outcome outcome = {
	    .kind = exec_end_kind(result, told),
	    .after_ms = -1,
	};
	struct text text = TEXT_EMPTY;

	exec_end_describe(result, &text);
	outcome.error = text.data;
	outcome.error_size = text.length;
	report(run, &outcome);
	text_free(&text);
}

static void
on_end(const struct process_result *result, void *argument)
{
	struct run *run = checked(argument);

	if (result->code == CLD_EXITED && result->status == 0 &&
	    !result->overflowed && result->limit == NULL)
		report_success(run, result);
	else
		report_failure(run, result);
}

/* Nothing ran: whose fault is it? */
static void
report_not_started(struct run *run, enum spawn_step failed, int error)
{
	const struct handler_config *config = run->handler->config;
	bool later = failed == SPAWN_PROCESS || error == EAGAIN ||
		     error == ENOMEM || error == ENFILE || error == EMFILE;
	struct text text = TEXT_EMPTY;

	if (failed == SPAWN_PROCESS)
		text_add_string(&text, "cannot start a process");
	else if (failed == SPAWN_DIRECTORY)
		text_addf(&text, "cannot enter working_directory %s",
		    config->working_directory);
	else
		text_addf(&text, "cannot run %s", config->argv[0]);
	text_addf(&text, ": %s", strerror(error));
	report_error(run, later ? OUTCOME_TRY_LATER : OUTCOME_CANNOT_RUN,
	    text_string(&text));
	text_free(&text);
}

static struct process_options
options_of(struct run *run)
{
	const struct handler_host *host = &run->handler->host;
	const struct task *task = run->task;

	return (struct process_options){
	    .base = host->base,
	    .input = task->payload,
	    .input_size = task->payload_size,
	    .output_limit = (size_t)host->config->max_result_bytes,
	    .context = {.task = task->id,
		.flow = task->flow,
		.attempt = task->attempt,
		.kind = task->kind,
		.queue = task->queue},
	    .handler = run->handler->config,
	    .on_end = on_end,
	    .argument = run,
	};
}

static struct spawn
spawn_of(struct run *run)
{
	struct handler *handler = run->handler;
	const struct handler_config *config = handler->config;
	int inputs = run->inputs >= 0 ? run->inputs : handler->no_inputs;

	return (struct spawn){
	    .program = handler->program,
	    .argv = config->argv,
	    .envp = environment_for(handler->environment, run->task, inputs),
	    .directory = config->working_directory != NULL
			     ? config->working_directory
			     : "/",
	    .socket = -1,
	    .limits = &handler->limits,
	};
}

/* A program that was missing may have been installed since. */
static int
find_program(struct handler *handler)
{
	const char *path = environment_value(handler->environment, "PATH");

	if (handler->program == NULL)
		handler->program = spawn_find(handler->config->argv[0], path);
	return handler->program != NULL ? 0 : -ENOENT;
}

static int
start_process(
    struct run *run, struct spawned *ret_spawned, enum spawn_step *ret_failed)
{
	struct process_options options = options_of(run);
	const struct task *task = run->task;
	struct spawn spawn;
	int r;

	*ret_failed = SPAWN_PROCESS;
	if (task->inputs != NULL) {
		run->inputs = inputs_new(task->inputs, task->inputs_size);
		if (run->inputs < 0)
			return run->inputs;
	}
	*ret_failed = SPAWN_PROGRAM;
	r = find_program(run->handler);
	if (r < 0)
		return r;
	spawn = spawn_of(run);
	return process_new(
	    &options, &spawn, &run->process, ret_spawned, ret_failed);
}

static void
start_soon(struct handler *handler)
{
	if (!TAILQ_EMPTY(&handler->waiting) &&
	    !evtimer_pending(handler->start_event, NULL))
		event_add(handler->start_event, &(struct timeval){0});
}

/* False: its outcome was reported, so nothing may be touched any more. */
static bool
start_run(struct run *run)
{
	struct spawned spawned;
	enum spawn_step failed;
	int r = 0;

	if (run->state == RUN_QUEUED)
		r = start_process(run, &spawned, &failed);
	if (run->state == RUN_QUEUED && r == 0) {
		run->state = RUN_RUNNING;
		scoreboard_set_group(run->handler->host.scoreboard,
		    run->task->scoreboard_slot, spawned.pid,
		    spawned.start_time);
		return true;
	}
	start_soon(run->handler);
	if (run->state == RUN_DROPPED)
		report_error(run, OUTCOME_CANCELLED, "not started");
	else
		report_not_started(run, failed, -r);
	return false;
}

/* Starts what waits, and lets the loop turn when that takes long. */
static void
on_start_event(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct handler *handler = argument;
	struct busy busy = busy_enter("starting handlers");
	struct mono began = mono_now();
	bool goes_on = true;

	while (goes_on && !TAILQ_EMPTY(&handler->waiting)) {
		struct run *run = TAILQ_FIRST(&handler->waiting);

		if (mono_us_between(began, mono_now()) > START_BUDGET_US) {
			start_soon(handler);
			break;
		}
		TAILQ_REMOVE(&handler->waiting, run, link);
		goes_on = start_run(run);
	}
	busy_leave(busy);
}

static void
exec_start(struct handler *handler, struct task *task)
{
	struct run *run = calloc(1, sizeof(*run));

	if (run == NULL)
		abort();
	*run = (struct run){
	    .magic = RUN_MAGIC,
	    .state = RUN_QUEUED,
	    .handler = handler,
	    .task = task,
	    .inputs = -1,
	};
	task->state = run;
	handler->runs++;
	TAILQ_INSERT_TAIL(&handler->waiting, run, link);
	start_soon(handler);
}

static void
set_timer(struct run *run, int64_t ms)
{
	struct timeval pause = {
	    .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	run->kill_at = mono_add_ms(mono_now(), ms);
	event_add(run->timer, &pause);
}

/* The group is killed; again, should something keep it from dying. */
static void
kill_run(struct run *run)
{
	process_signal(run->process, SIGKILL);
	run->state = RUN_KILLED;
	set_timer(run, KILL_AGAIN_MS);
}

static void
on_timer(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct run *run = checked(argument);
	struct log_context context = options_of(run).context;

	if (run->state == RUN_KILLED)
		log_write(LOG_LEVEL_WARNING, LOG_PLAIN, &context,
		    "its process does not end after SIGKILL, still waiting");
	kill_run(run);
}

static void
tell_run(struct run *run, int64_t grace_ms)
{
	process_signal(run->process, SIGTERM);
	process_signal(run->process, SIGCONT); /* a stopped one hears too */
	run->state = RUN_TOLD;
	set_timer(run, grace_ms);
}

static void
cancel_started(struct run *run, int64_t grace_ms)
{
	if (run->state == RUN_KILLED)
		return;
	if (run->timer == NULL)
		run->timer =
		    evtimer_new(run->handler->host.base, on_timer, run);
	if (run->timer == NULL)
		abort();
	if (grace_ms <= 0)
		kill_run(run);
	else if (run->state == RUN_RUNNING)
		tell_run(run, grace_ms);
	else if (mono_ms_between(mono_now(), run->kill_at) > grace_ms)
		set_timer(run, grace_ms);
}

static void
exec_cancel(struct handler *handler, struct task *task,
    enum cancel_reason reason, int64_t grace_ms)
{
	struct run *run = checked(task->state);

	(void)handler, (void)reason; /* they are all told the same way */
	if (run->state == RUN_QUEUED)
		run->state = RUN_DROPPED; /* reported when its turn comes */
	else if (run->state != RUN_DROPPED)
		cancel_started(run, grace_ms);
}

static struct handler *
exec_open(const struct handler_host *host, const struct handler_config *config)
{
	struct handler *handler = calloc(1, sizeof(*handler));

	if (handler == NULL)
		abort();
	process_prepare();
	adopted_open(host->base);
	task_cgroups_open(host->base);
	handler->host = *host;
	handler->config = config;
	handler->environment = environment_new(config);
	spawn_limits(config, &handler->limits);
	handler->no_inputs = inputs_new("{}", 2);
	TAILQ_INIT(&handler->waiting);
	handler->start_event = evtimer_new(host->base, on_start_event, handler);
	if (handler->start_event == NULL)
		abort();
	return handler;
}

static void
exec_close(struct handler *handler)
{
	assert(handler->runs == 0);
	event_free(handler->start_event);
	if (handler->no_inputs >= 0)
		close(handler->no_inputs);
	(void)environment_free(handler->environment);
	free(handler->program);
	free(handler);
	task_cgroups_close();
	adopted_close();
}

const struct handler_ops handler_exec = {
    .name = "exec",
    .open = exec_open,
    .start = exec_start,
    .cancel = exec_cancel,
    .close = exec_close,
};
