#include "daemon/handlers/process.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/busy.h"
#include "common/cgroup.h"
#include "common/config.h"
#include "daemon/handlers/adopted.h"
#include "daemon/handlers/limits.h"
#include "daemon/handlers/memory_watch.h"
#include "daemon/handlers/task_cgroup.h"

enum {
	MAGIC = 0x70726f63,
	READ_BYTES = 64 << 10, /* at a time */
	LAST_READS = 32,       /* of each pipe after the end */
	OWN_FILES = 65536,
};

/* Our end of a pipe. */
struct stream {
	int fd; /* -1: closed */
	struct event *event;
};

struct process {
	uint32_t magic;
	struct process_options options;
	struct own_child child;
	struct stream input, output, errors, end; /* end: the pidfd */
	size_t written;
	struct text result;
	struct output_lines lines, output_lines;
	bool overflowed;
	struct memory_watch memory; /* limit_bytes 0: not watched */
	struct text limit;	    /* that it broke, in words */
	struct task_cgroup *cgroup; /* NULL: none */
	int pids_refused;
};

static struct process *
checked(void *argument)
{
	struct process *process = argument;

	assert(process->magic == MAGIC);
	return process;
}

static void
stream_close(struct stream *stream)
{
	if (stream->event != NULL)
		event_free(stream->event);
	stream->event = NULL;
	if (stream->fd >= 0)
		close(stream->fd);
	stream->fd = -1;
}

static void
stream_watch(struct stream *stream, struct process *process, short what,
    event_callback_fn callback)
{
	stream->event = event_new(
	    process->options.base, stream->fd, what, callback, process);
	if (stream->event == NULL || event_add(stream->event, NULL) < 0)
		abort();
}

/* Writes what the pipe takes. A program need not read its input. */
static void
feed(struct process *process)
{
	const struct process_options *options = &process->options;

	while (process->written < options->input_size) {
		ssize_t n =
		    write(process->input.fd, options->input + process->written,
			options->input_size - process->written);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			break;
		process->written += (size_t)n;
	}
	stream_close(&process->input);
}

static void
on_input(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct busy busy = busy_enter("writing to a handler");

	feed(checked(argument));
	busy_leave(busy);
}

/* The next bytes of a pipe; 0: none now, and closed if none will come. */
static size_t
read_stream(struct stream *stream, const char **ret_bytes)
{
	static char buffer[READ_BYTES];
	ssize_t n;

	if (stream->fd < 0)
		return 0;
	do
		n = read(stream->fd, buffer, sizeof(buffer));
	while (n < 0 && errno == EINTR);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		stream_close(stream);
	*ret_bytes = buffer;
	return n > 0 ? (size_t)n : 0;
}

/* What it says at the moment is about. */
static struct log_context
context_of(struct process *process)
{
	struct log_context context = process->options.context;

	if (process->options.describe != NULL)
		process->options.describe(
		    &context, 0, process->options.argument);
	return context;
}

static void
log_said(struct process *process, struct output_lines *lines, const char *bytes,
    size_t length)
{
	struct log_context context = context_of(process);

	output_lines_window(
	    lines, &context, process->options.log_window_ms, mono_now());
	output_lines_add(lines, &context, bytes, length);
}

static bool
read_output(struct process *process)
{
	const char *bytes;
	size_t length = read_stream(&process->output, &bytes);

	if (length == 0)
		return false;
	if (process->options.logs_output) {
		log_said(process, &process->output_lines, bytes, length);
		return true;
	}
	if (process->result.length + length > process->options.output_limit) {
		process->overflowed = true;
		process_signal(process, SIGKILL);
		stream_close(&process->output);
		return false;
	}
	text_add(&process->result, bytes, length);
	return true;
}

static bool
read_errors(struct process *process)
{
	const char *bytes;
	size_t length = read_stream(&process->errors, &bytes);

	if (length > 0)
		log_said(process, &process->lines, bytes, length);
	return length > 0;
}

static void
on_output(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct busy busy = busy_enter("reading a handler's output");

	(void)read_output(checked(argument));
	busy_leave(busy);
}

static void
on_errors(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct busy busy = busy_enter("reading a handler's errors");

	(void)read_errors(checked(argument));
	busy_leave(busy);
}

static struct process *
process_free(struct process *process)
{
	stream_close(&process->input);
	stream_close(&process->output);
	stream_close(&process->errors);
	stream_close(&process->end);
	memory_watch_end(&process->memory);
	text_free(&process->result);
	text_free(&process->limit);
	(void)task_cgroup_end(process->cgroup);
	output_lines_free(&process->lines);
	output_lines_free(&process->output_lines);
	process->magic = 0;
	free(process);
	return NULL;
}

static void
report(struct process *process, const siginfo_t *info)
{
	struct process_result result = {
	    .code = info->si_code,
	    .status = info->si_status,
	    .overflowed = process->overflowed,
	    .limit =
		process->limit.length > 0 ? text_string(&process->limit) : NULL,
	    .pids_refused = process->pids_refused,
	    .output_limit = process->options.output_limit,
	    .output = &process->result,
	    .said = &process->lines,
	};
	struct log_context context;

	context = context_of(process);
	output_lines_end(&process->lines, &context);
	output_lines_end(&process->output_lines, &context);
	process->options.on_end(&result, process->options.argument);
	(void)process_free(process);
}

static int64_t
ms_of(struct timeval time)
{
	return (int64_t)time.tv_sec * 1000 + time.tv_usec / 1000;
}

/* The system call itself tells what it used. */
static void
reap(struct process *process, siginfo_t *ret_info)
{
	struct rusage used = {0};

	if (syscall(SYS_waitid, P_PIDFD, process->end.fd, ret_info,
		WEXITED | WNOHANG, &used) < 0)
		abort(); /* somebody took our child away */
	if (process->limit.length == 0)
		(void)task_cgroup_say_memory(
		    process->cgroup, process->options.handler, &process->limit);
	if (process->limit.length == 0)
		(void)limits_say_cpu_time(process->options.handler,
		    ret_info->si_code, ret_info->si_status,
		    ms_of(used.ru_utime) + ms_of(used.ru_stime),
		    &process->limit);
}

/* The child has ended and is still in the process table. */
static void
on_child_end(struct own_child *child)
{
	struct process *process =
	    checked((char *)child - offsetof(struct process, child));
	siginfo_t info = {0};
	bool left;

	(void)kill(-child->pid, SIGKILL); /* its cgroup below, if need be */
	for (int i = 0; i < LAST_READS && read_output(process); i++)
		continue;
	for (int i = 0; i < LAST_READS && read_errors(process); i++)
		continue;
	memory_watch_end(&process->memory);
	reap(process, &info);
	if (task_cgroup_refused_pids(process->cgroup))
		process->pids_refused = process->options.handler->pids_max;
	left = kill(-child->pid, 0) == 0;
	left = task_cgroup_end(process->cgroup) || left;
	process->cgroup = NULL;
	adopted_disown(child, left);
	report(process, &info);
}

static void
on_end(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct process *process = checked(argument);
	struct busy busy = busy_enter("end of a handler's process");
	id_t pid = (id_t)process->child.pid;
	siginfo_t info = {0};

	if (waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	    info.si_pid != 0)
		on_child_end(&process->child);
	busy_leave(busy);
}

/* Programs get a pipe at 0, 1 and 2, so none of ours may be there. */
static void
occupy_standard_descriptors(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
			(void)open("/dev/null", O_RDWR | O_NOCTTY);
}

/* Each process takes up to five descriptors of ours. */
static void
raise_file_limit(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return;
	files.rlim_cur =
	    files.rlim_max < OWN_FILES ? files.rlim_max : OWN_FILES;
	(void)setrlimit(RLIMIT_NOFILE, &files); /* fewer: tasks are put off */
}

void
process_prepare(void)
{
	occupy_standard_descriptors();
	raise_file_limit();
}

static int
make_pipe(int *ret_read, int *ret_write, int *ours)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	*ret_read = fds[0];
	*ret_write = fds[1];
	(void)fcntl(*ours, F_SETFL, O_NONBLOCK); /* on a pipe it can't fail */
	return 0;
}

static int
make_pipes(struct process *process, struct spawn *spawn)
{
	int r =
	    make_pipe(&spawn->input, &process->input.fd, &process->input.fd);

	if (r == 0)
		r = make_pipe(
		    &process->output.fd, &spawn->output, &process->output.fd);
	if (r == 0)
		r = make_pipe(
		    &process->errors.fd, &spawn->errors, &process->errors.fd);
	return r;
}

static void
close_theirs(const struct spawn *spawn)
{
	if (spawn->input >= 0)
		close(spawn->input);
	if (spawn->output >= 0)
		close(spawn->output);
	if (spawn->errors >= 0)
		close(spawn->errors);
}

static void
on_much_memory(struct memory_watch *watch, int64_t held_bytes)
{
	struct process *process =
	    checked((char *)watch - offsetof(struct process, memory));

	if (process->limit.length == 0)
		limits_say_memory(
		    process->options.handler, held_bytes, &process->limit);
	memory_watch_kill(watch);
	task_cgroup_kill(process->cgroup);
}

static void
watch_memory(struct process *process)
{
	int64_t limit_bytes = process->options.handler->memory_max_bytes;

	if (limit_bytes <= 0 ||
	    (task_cgroups_controllers() & CGROUP_MEMORY) != 0)
		return;
	process->memory = (struct memory_watch){
	    .leader = process->child.pid,
	    .limit_bytes = limit_bytes,
	    .cgroup = task_cgroup_path(process->cgroup),
	    .on_over = on_much_memory,
	};
	memory_watch_begin(&process->memory, process->options.base);
}

static void
watch(struct process *process, const struct spawned *spawned)
{
	process->end.fd = spawned->pidfd;
	process->child.pid = spawned->pid;
	process->child.on_end = on_child_end;
	adopted_own(&process->child);
	watch_memory(process);
	if (process->input.fd >= 0)
		stream_watch(
		    &process->input, process, EV_WRITE | EV_PERSIST, on_input);
	stream_watch(
	    &process->output, process, EV_READ | EV_PERSIST, on_output);
	stream_watch(
	    &process->errors, process, EV_READ | EV_PERSIST, on_errors);
	stream_watch(&process->end, process, EV_READ | EV_PERSIST, on_end);
}

int
process_new(const struct process_options *options, const struct spawn *spawn,
    struct process **ret_process, struct spawned *ret_spawned,
    enum spawn_step *ret_failed)
{
	struct process *process = calloc(1, sizeof(*process));
	struct spawn with_pipes = *spawn;
	int r;

	if (process == NULL)
		abort();
	process->magic = MAGIC;
	process->options = *options;
	process->lines.reads_objects = true;
	process->lines.about = options->describe;
	process->lines.argument = options->argument;
	process->input.fd = process->output.fd = -1;
	process->errors.fd = process->end.fd = -1;
	with_pipes.input = with_pipes.output = with_pipes.errors = -1;
	*ret_failed = SPAWN_PROCESS;
	r = make_pipes(process, &with_pipes);
	if (r == 0)
		r = task_cgroup_new(
		    options->handler, options->context.task, &process->cgroup);
	if (r == 0) {
		with_pipes.cgroup = task_cgroup_fd(process->cgroup);
		feed(process); /* most inputs fit the pipe */
		r = spawn_start(&with_pipes, ret_spawned, ret_failed);
	}
	close_theirs(&with_pipes);
	if (r == 0)
		watch(process, ret_spawned);
	else
		process = process_free(process);
	*ret_process = process;
	return r;
}

void
process_signal(struct process *process, int signal_number)
{
	(void)kill(-process->child.pid, signal_number);
	if (signal_number == SIGKILL)
		task_cgroup_kill(process->cgroup);
}

void
process_listen(struct process *process)
{
	(void)read_output(process);
	(void)read_errors(process);
}
