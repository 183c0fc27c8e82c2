/* The keys of a handler. */
#include "common/config_keys.h"
#include "common/config_rules.h"
#include "common/config_table.h"

enum { SHARE_TRANSACTION_LIMIT = 200 };

#define OWNER handler_config
static const struct config_key handler_keys[] = {
    {.name = "exec",
	.type = &config_type_list,
	AT(argv),
	.min = 1,
	.max = 1024,
	.check = config_is_absolute,
	IN_PLACE,
	.help = "A program, by its absolute path, and its arguments: one "
		"process a task."},
    {.name = "pool",
	.type = &config_type_list,
	AT(pool),
	.min = 1,
	.max = 1024,
	.check = config_is_absolute,
	IN_PLACE,
	.help = "A program, by its absolute path, and its arguments: it lives "
		"long and is given tasks over a socket."},
    {.name = "http",
	.type = &config_type_text,
	AT(url),
	.min = 1,
	.max = 4095,
	.check = config_is_url,
	IN_PLACE,
	.help = "A service, by its http:// or https:// URL: each task is a "
		"POST of its payload and inputs."},
    {.name = "sql",
	.type = &config_type_text,
	AT(function),
	.min = 1,
	.max = 127,
	.check = config_is_function,
	IN_PLACE,
	.help = "A function in the database, as schema.function: its effect "
		"and the finish of its task are one transaction."},
    {.name = "plugin",
	.type = &config_type_text,
	AT(plugin),
	.min = 1,
	.max = 4095,
	.check = config_is_absolute,
	NEW_WORKERS,
	.help = "A shared object, by its absolute path, whose function is "
		"called on a thread of the worker (muster/plugin.h)."},
    {.name = "threads",
	.type = &config_type_integer,
	AT(threads),
	.min = 1,
	.max = 256,
	IN_PLACE,
	.help = "plugin: how many threads each worker has for it; else 4."},
    {.name = "queue_limit",
	.type = &config_type_integer,
	AT(queue_limit),
	.max = 8192,
	IN_PLACE,
	.help = "plugin: how many tasks may wait in each worker for a thread; "
		"else none."},
    {.name = "noop",
	.type = &config_type_noop,
	AT(type),
	.min = HANDLER_NOOP,
	.max = HANDLER_SLEEP,
	IN_PLACE,
	.help = "true: does nothing, for measurements and for gathering tasks; "
		"sleep: does nothing for as many seconds as the payload says, "
		"{\"sleep\": 0.5}."},
    {.name = "role",
	.type = &config_type_text,
	AT(role),
	.min = 1,
	.max = 63,
	IN_PLACE,
	.help = "sql: the role that calls the function; else the daemon's."},
    {.name = "share_transaction",
	.type = &config_type_integer,
	AT(share_transaction),
	.min = 1,
	.max = SHARE_TRANSACTION_LIMIT,
	IN_PLACE,
	.help = "sql: while many tasks wait whose function takes less than "
		"2 ms, at most so many of them share a transaction (else 200); "
		"one that fails there is undone and called again alone. 1: "
		"each has its own, always."},
    {.name = "concurrency",
	.type = &config_type_integer,
	AT(concurrency),
	.min = 1,
	.max = 8192,
	IN_PLACE,
	.help = "How many tasks of the kind run at a time in this instance; "
		"else as many as their queues allow."},
    {.name = "max_running",
	.type = &config_type_integer,
	AT(max_running),
	.min = 1,
	.max = 1000000,
	IN_PLACE,
	.help = "How many tasks of the kind run at a time on all hosts of the "
		"database. Each should say the same; else the smallest "
		"counts, and a host that says nothing is not bound by it. A "
		"lowered limit ends no task."},
    {.name = "rate",
	.type = &config_type_section,
	AT(rate),
	.section = &config_section_rate,
	IN_PLACE,
	.help = "How many tasks of the kind start on all hosts of the "
		"database, such as 10/s, 100/m, 5/h or 1/d; or rate and burst. "
		"Where hosts differ the smallest counts."},
    {.type = &config_type_inline,
	AT(limits),
	.section = &config_section_limits},
    {.name = "working_directory",
	.type = &config_type_text,
	AT(working_directory),
	.min = 1,
	.max = 4095,
	.check = config_is_absolute,
	IN_PLACE,
	.help = "exec, pool: where the program starts; else /."},
    {.name = "environment",
	.type = &config_type_environment,
	AT(environment),
	.max = 1024,
	.check = config_is_variable,
	IN_PLACE,
	.help = "exec, pool: variables for the program, beside the few it "
		"always has."},
    {.name = "processes",
	.type = &config_type_section,
	AT(processes),
	.section = &config_section_processes,
	IN_PLACE,
	.help = "pool: how many processes this instance keeps, shared out "
		"among its workers: a number (at most so many), or min and "
		"max."},
    {.name = "start_timeout",
	.type = &config_type_duration,
	AT(start_timeout_ms),
	.min = 1,
	.max = DAY,
	IN_PLACE,
	.help = "pool: how long a process may take until it is ready for "
		"tasks; else 1m."},
    {.name = "idle_timeout",
	.type = &config_type_duration,
	AT(idle_timeout_ms),
	.min = 1,
	.max = 365 * DAY,
	IN_PLACE,
	.help = "pool: a process beyond the minimum that has had no task for "
		"so long is ended; else 5m."},
    {.name = "recycle",
	.type = &config_type_section,
	AT(recycle),
	.section = &config_section_recycle,
	IN_PLACE,
	.help = "pool: when a process is replaced by a fresh one."},
    {.name = "headers",
	.type = &config_type_headers,
	AT(headers),
	.max = 64,
	.check = config_is_header,
	IN_PLACE,
	.help = "http: headers of each request, beside those it always has. "
		"Secrets stand in files, read at start and at each reload: "
		"{Authorization: {file: ${CREDENTIALS_DIRECTORY}/hook}}."},
    {.name = "ca_file",
	.type = &config_type_text,
	AT(ca_file),
	.min = 1,
	.max = 4095,
	.check = config_is_absolute,
	IN_PLACE,
	.help = "http: the certificates (PEM) of the authorities that are "
		"trusted; else the system's."},
    {.name = "connect_timeout",
	.type = &config_type_duration,
	AT(connect_timeout_ms),
	.min = 1,
	.max = 60 * MINUTE,
	IN_PLACE,
	.help = "http: how long the look-up of the name may take, and then a "
		"connection with its TLS; 10s unless given."},
    {.name = "allow_private",
	.type = &config_type_flag,
	AT(allow_private),
	.max = 1,
	IN_PLACE,
	.help = "http: whether the server may have a private, loopback or "
		"link-local address; false unless given."},
    {.name = "memory_max",
	.type = &config_type_size,
	AT(memory_max_bytes),
	.min = MEGA,
	.max = MEGA * MEGA,
	IN_PLACE,
	.help = "The memory of all processes of a task (exec) or of a process "
		"of a pool with its children, which are killed when they take "
		"more: the attempts that ran fail. Exact with "
		"a cgroup. Without one, the resident memory is looked at four "
		"times a second (less often where a worker runs very many "
		"such tasks), and no process may have more private data "
		"than twice this and 1G."},
    {.name = "cpu_max",
	.type = &config_type_decimal,
	AT(cpu_max),
	.min = 0.01,
	.max = 1024,
	IN_PLACE,
	.help =
	    "exec, pool: how many processors the processes of a task may use "
	    "together, such as 0.5; they are slowed down to it. Needs "
	    "cgroups."},
    {.name = "pids_max",
	.type = &config_type_integer,
	AT(pids_max),
	.min = 1,
	.max = 1 << 22,
	IN_PLACE,
	.help =
	    "exec, pool: how many processes and threads a task may have at a "
	    "time; beyond it none can be started. Needs cgroups."},
    {.name = "cpu_time",
	.type = &config_type_duration,
	AT(cpu_time_ms),
	.min = SECOND,
	.max = 365 * DAY,
	IN_PLACE,
	.help = "exec: the processor time of each process, in whole seconds; "
		"one that uses more gets SIGXCPU, and is killed when it has "
		"used as much as grace beyond it."},
    {.name = "open_files",
	.type = &config_type_integer,
	AT(open_files),
	.min = 8,
	.max = 1 << 20,
	IN_PLACE,
	.help =
	    "exec, pool: how many files each process may have open, at most as "
	    "many as the daemon may. Else 1024, which a program may "
	    "raise up to the daemon's own limit."},
    {.name = "core",
	.type = &config_type_size,
	AT(core_bytes),
	.min = 0,
	.max = MEGA * MEGA,
	IN_PLACE,
	.help = "exec, pool: how large a core file of a crash may be; else 0, "
		"which is none."},
    {.name = "umask",
	.type = &config_type_mode,
	AT(umask),
	.min = 0,
	.max = 0777,
	IN_PLACE,
	.help =
	    "exec, pool: the permissions that new files do not get; else the "
	    "daemon's own."},
    {.name = "nice",
	.type = &config_type_integer,
	AT(nice),
	.min = 0,
	.max = 19,
	IN_PLACE,
	.help =
	    "exec, pool: how far processes stand back behind others for the "
	    "processor."},
    LATER("chunk"),
    LATER("replace"),
};
const struct config_section config_section_handler = {
    KEYS(handler_keys), sizeof(struct handler_config)};
#undef OWNER
