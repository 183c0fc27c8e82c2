#include "common/config_table.h"

#include "common/config_rules.h"

#define SECOND 1000.0
#define MINUTE (60 * SECOND)
#define DAY (1440 * MINUTE)
#define KILO 1024.0
#define MEGA (KILO * KILO)

#define KEYS(list) list, sizeof(list) / sizeof((list)[0])
#define AT(member) .offset = offsetof(struct OWNER, member)
/* clang-format off */
#define LATER(key) {.name = (key), .type = &config_type_later}
/* clang-format on */
#define IN_PLACE .change = CONFIG_IN_PLACE
#define NEW_WORKERS .change = CONFIG_NEW_WORKERS
#define RESTART .change = CONFIG_RESTART

enum { CONFIG_PROCESSES_LIMIT = 512 };

#define OWNER backoff_config
static const struct config_key backoff_keys[] = {
    {.name = "first",
	.type = &config_type_duration,
	AT(first_ms),
	.max = DAY,
	.fallback = "1s",
	IN_PLACE,
	.help = "The pause after the first failure."},
    {.name = "factor",
	.type = &config_type_decimal,
	AT(factor),
	.min = 1,
	.max = 100,
	.fallback = "2",
	IN_PLACE,
	.help = "Each pause is so many times the one before."},
    {.name = "max",
	.type = &config_type_duration,
	AT(max_ms),
	.max = 365 * DAY,
	.fallback = "1h",
	IN_PLACE,
	.help = "No pause is longer."},
    {.name = "jitter",
	.type = &config_type_decimal,
	AT(jitter),
	.max = 1,
	.fallback = "0.2",
	IN_PLACE,
	.help = "Each pause is moved by up to this share of it, at random."},
};
static const struct config_section section_backoff = {
    KEYS(backoff_keys), sizeof(struct backoff_config)};
#undef OWNER

#define OWNER task_defaults
static const struct config_key limits_keys[] = {
    {.name = "timeout",
	.type = &config_type_duration,
	AT(timeout_ms),
	.min = 1,
	.max = 365 * DAY,
	.fallback = "10m",
	IN_PLACE,
	.help = "How long an attempt may run before it is cancelled."},
    {.name = "grace",
	.type = &config_type_duration,
	AT(grace_ms),
	.max = 60 * MINUTE,
	.fallback = "5s",
	IN_PLACE,
	.help = "The time between being told to end and being killed."},
    {.name = "max_attempts",
	.type = &config_type_integer,
	AT(max_attempts),
	.min = 1,
	.max = 1000,
	.fallback = "5",
	IN_PLACE,
	.help = "A task that failed so often has failed for good."},
    {.name = "backoff",
	.type = &config_type_section,
	AT(backoff),
	.section = &section_backoff,
	IN_PLACE,
	.help = "The pauses between attempts."},
};
const struct config_section config_section_limits = {
    KEYS(limits_keys), sizeof(struct task_defaults)};
#undef OWNER

#define OWNER queue_config
static const struct config_key queue_keys[] = {
    {.name = "concurrency",
	.type = &config_type_integer,
	AT(concurrency),
	.min = 1,
	.max = 8192,
	.fallback = "50",
	IN_PLACE,
	.help = "How many tasks of the queue run at a time in this instance; "
		"its workers share them."},
    {.name = "retention",
	.type = &config_type_duration,
	AT(retention_ms),
	.max = 3650 * DAY,
	.fallback = "7d",
	IN_PLACE,
	.help = "How long finished tasks are kept."},
    LATER("max_running"),
    LATER("rate"),
};
static const struct config_section section_queue = {
    KEYS(queue_keys), sizeof(struct queue_config)};
#undef OWNER

#define OWNER processes_config
static const struct config_key processes_keys[] = {
    {.name = "min",
	.type = &config_type_integer,
	AT(min),
	.max = CONFIG_PROCESSES_LIMIT,
	IN_PLACE,
	.help = "So many are kept, even idle ones, once the first was "
		"needed; else none."},
    {.name = "max",
	.type = &config_type_integer,
	AT(max),
	.min = 1,
	.max = CONFIG_PROCESSES_LIMIT,
	IN_PLACE,
	.help = "Never more than so many, but for one that is about to take "
		"another's place; else one a worker."},
};
static const struct config_section section_processes = {
    KEYS(processes_keys), sizeof(struct processes_config), "max"};
#undef OWNER

#define OWNER recycle_config
static const struct config_key recycle_keys[] = {
    {.name = "tasks",
	.type = &config_type_integer,
	AT(tasks),
	.min = 1,
	.max = 1000000000,
	IN_PLACE,
	.help = "After so many tasks."},
    {.name = "age",
	.type = &config_type_duration,
	AT(age_ms),
	.min = SECOND,
	.max = 365 * DAY,
	IN_PLACE,
	.help = "After so long."},
    {.name = "memory",
	.type = &config_type_size,
	AT(memory_bytes),
	.min = MEGA,
	.max = KILO * KILO * MEGA,
	IN_PLACE,
	.help = "When so much of its memory is resident; looked at once a "
		"second."},
};
static const struct config_section section_recycle = {
    KEYS(recycle_keys), sizeof(struct recycle_config)};
#undef OWNER

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
    {.name = "noop",
	.type = &config_type_noop,
	AT(type),
	.min = HANDLER_NOOP,
	.max = HANDLER_NOOP,
	IN_PLACE,
	.help = "Does nothing: for measurements and for gathering tasks."},
    {.name = "role",
	.type = &config_type_text,
	AT(role),
	.min = 1,
	.max = 63,
	IN_PLACE,
	.help = "sql: the role that calls the function; else the daemon's."},
    {.name = "concurrency",
	.type = &config_type_integer,
	AT(concurrency),
	.min = 1,
	.max = 8192,
	IN_PLACE,
	.help = "How many tasks of the kind run at a time in this instance; "
		"else as many as their queues allow."},
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
	.section = &section_processes,
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
	.section = &section_recycle,
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
	.help = "exec, pool: the memory of all processes of a task together; a "
		"task "
		"that takes more is killed, and its attempt fails. Exact with "
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
	.help =
	    "exec, pool: the processor time of each process, in whole seconds; "
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
		"which "
		"is none."},
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
    LATER("plugin"),
    LATER("replace"),
};
static const struct config_section section_handler = {
    KEYS(handler_keys), sizeof(struct handler_config)};
#undef OWNER

#define OWNER config
static const struct config_key top_keys[] = {
    {.name = "database",
	.type = &config_type_text,
	AT(database),
	.min = 1,
	.max = 4095,
	.check = config_is_conninfo,
	NEW_WORKERS,
	.help = "How to reach PostgreSQL: a libpq connection string or URI; "
		"several hosts for fail-over. It must be given."},
    {.name = "direct_database",
	.type = &config_type_text,
	AT(direct_database),
	.min = 1,
	.max = 4095,
	.check = config_is_conninfo,
	NEW_WORKERS,
	.help = "PostgreSQL itself, where database leads to a transaction "
		"pooler: for wake-ups and sql tasks, which need a session."},
    {.name = "redis",
	.type = &config_type_text,
	AT(redis),
	.min = 1,
	.max = 1023,
	.check = config_is_redis,
	NEW_WORKERS,
	.help = "How to reach Redis: unix:///path or redis://host:port/db. "
		"Without it there are no events, and a dead host is noticed "
		"later."},
    {.name = "cluster",
	.type = &config_type_text,
	AT(cluster),
	.min = 1,
	.max = 63,
	.fallback = "default",
	.check = config_is_name,
	NEW_WORKERS,
	.help = "Stands in the names of the Redis keys; the same on all hosts "
		"of one database."},
    {.name = "workers",
	.type = &config_type_workers,
	AT(workers),
	.min = 1,
	.max = CONFIG_WORKERS_LIMIT,
	.fallback = "auto",
	NEW_WORKERS,
	.help = "How many worker processes; auto: one a usable processor."},
    {.name = "runtime_dir",
	.type = &config_type_text,
	AT(runtime_dir),
	.min = 1,
	.max = 4095,
	.fallback = "/run/musterd",
	.check = config_is_runtime_dir,
	RESTART,
	.help = "Where the control socket and the locks are."},
    {.name = "log_level",
	.type = &config_type_level,
	AT(log_level),
	.min = LOG_LEVEL_ERROR,
	.max = LOG_LEVEL_DEBUG,
	.fallback = "info",
	IN_PLACE,
	.help = "What is logged: this level and graver ones."},
    {.name = "log_format",
	.type = &config_type_log_format,
	AT(log_format),
	.max = LOG_FORMAT_JSON,
	.fallback = "auto",
	RESTART,
	.help = "text or json lines on standard error; auto: the journal "
		"where it is connected, else text."},
    {.name = "shutdown_timeout",
	.type = &config_type_duration,
	AT(shutdown_timeout_ms),
	.min = SECOND,
	.max = DAY,
	.fallback = "30s",
	IN_PLACE,
	.help = "How long a stop may take, whatever runs."},
    {.name = "watchdog",
	.type = &config_type_duration,
	AT(watchdog_ms),
	.min = SECOND,
	.max = 10 * MINUTE,
	.fallback = "10s",
	IN_PLACE,
	.help = "A process whose event loop stands still for so long is "
		"replaced."},
    {.name = "heartbeat",
	.type = &config_type_duration,
	AT(heartbeat_ms),
	.min = SECOND / 10,
	.max = MINUTE,
	.fallback = "1s",
	IN_PLACE,
	.help = "How often a worker shows in Redis that it lives."},
    {.name = "poll_interval",
	.type = &config_type_duration,
	AT(poll_interval_ms),
	.min = SECOND / 10,
	.max = 60 * MINUTE,
	.fallback = "1s",
	IN_PLACE,
	.help = "How often an idle worker looks for tasks even if nothing "
		"woke it."},
    {.name = "prepared_statements",
	.type = &config_type_boolean,
	AT(prepared_statements),
	.max = 1,
	.fallback = "true",
	NEW_WORKERS,
	.help = "false behind a transaction pooler that does not keep them for "
		"each client."},
    {.name = "max_payload",
	.type = &config_type_size,
	AT(max_payload_bytes),
	.min = KILO,
	.max = 128 * MEGA,
	.fallback = "1M",
	IN_PLACE,
	.help = "The largest payload that enqueue takes. Schedulers write it "
		"into the database, for all who use it: the last one to start "
		"or reload counts."},
    {.name = "max_result",
	.type = &config_type_size,
	AT(max_result_bytes),
	.min = KILO,
	.max = 64 * MEGA,
	.fallback = "1M",
	IN_PLACE,
	.help = "The largest result of a task; a larger one fails it."},
    {.name = "max_message",
	.type = &config_type_size,
	AT(max_message_bytes),
	.min = 4 * KILO,
	.max = 256 * MEGA,
	.fallback = "4M",
	IN_PLACE,
	.help = "The longest message between a worker and a process of a "
		"pool, payload, inputs or result within it."},
    {.name = "admin_group",
	.type = &config_type_text,
	AT(admin_group),
	.min = 1,
	.max = 63,
	IN_PLACE,
	.help = "Members may change things over the control socket, as root "
		"and the service's user may."},
    {.name = "crash_limit",
	.type = &config_type_integer,
	AT(crash_limit),
	.max = 1000,
	.fallback = "3",
	IN_PLACE,
	.help = "A task whose worker died so often, and once more, has failed "
		"for good."},
    {.name = "defaults",
	.type = &config_type_section,
	AT(defaults),
	.section = &config_section_limits,
	IN_PLACE,
	.help = "What holds for tasks whose handler and enqueuer say nothing "
		"else."},
    {.name = "queues",
	.type = &config_type_named,
	AT(queues),
	.max = 1000,
	.section = &section_queue,
	.check = config_is_name,
	IN_PLACE,
	.count_offset = offsetof(struct config, queue_count),
	.help = "The queues this instance works on. The queue \"default\" is "
		"always among them."},
    {.name = "handlers",
	.type = &config_type_named,
	AT(handlers),
	.max = 1000,
	.section = &section_handler,
	.check = config_is_name,
	IN_PLACE,
	.count_offset = offsetof(struct config, handler_count),
	.help = "How the tasks of a kind are run: exactly one of exec, pool, "
		"http, sql and noop each."},
    LATER("gateway"),
    LATER("schedules"),
    LATER("triggers"),
};
const struct config_section config_section_top = {
    KEYS(top_keys), sizeof(struct config)};
