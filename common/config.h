/*
 * The configuration: YAML files, checked whole, then immutable.
 *
 * Only the short-lived `config-check` process reads files (config_load). What
 * it found right travels as a blob (config_encode) in a memfd to supervisor,
 * workers and scheduler, which decode it (config_decode). One table of keys
 * (config_table.c) drives reading, checking, printing, reload and the manual.
 */
#ifndef COMMON_CONFIG_H
#define COMMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/log.h"
#include "common/text.h"

/* How a failed attempt is repeated: first × factor^(n-1), at most max, each
 * time moved by up to ± jitter (a share). */
struct backoff_config {
	int64_t first_ms, max_ms;
	double factor, jitter;
};

/* What holds for a task unless its enqueuer said otherwise. */
struct task_defaults {
	int64_t timeout_ms, grace_ms;
	int max_attempts;
	struct backoff_config backoff;
};

/* Starts on all hosts. */
struct rate_config {
	double per_s; /* 0: no limit */
	int burst;    /* at once, after a rest; 0 without a rate */
};

struct queue_config {
	char *name;
	int concurrency; /* tasks of it at a time in this instance */
	int max_running; /* on all hosts; 0: no limit */
	struct rate_config rate;
	int64_t retention_ms; /* how long finished tasks are kept */
};

enum handler_type {
	HANDLER_EXEC,
	HANDLER_SQL,
	HANDLER_NOOP,
	HANDLER_SLEEP,
	HANDLER_POOL,
	HANDLER_HTTP,
	HANDLER_PLUGIN,
};

/* The extra connections of each worker for sql tasks. */
struct sql_connections_config {
	int size, overflow;
	int64_t max_age_ms, check_after_ms;
};

/* How many processes of a pool this instance keeps. */
struct processes_config {
	int min; /* once one was needed */
	int max;
};

/* When a process of a pool is replaced; 0: never for that reason. */
struct recycle_config {
	int tasks; /* done by it */
	int64_t age_ms, memory_bytes;
};

struct handler_config {
	char *kind;
	enum handler_type type;
	char **argv;	 /* exec: program and arguments, NULL at the end */
	char **pool;	 /* pool: the same */
	char *function;	 /* sql: schema.name */
	char *role;	 /* sql: role to call it as, NULL: the daemon's own */
	char *plugin;	 /* plugin: path of the shared object */
	int threads;	 /* plugin: of each worker */
	int queue_limit; /* plugin: tasks that may wait for a thread */
	int share_transaction; /* sql: so many calls; 0: SQL_COMPANY_MAX */
	int concurrency; /* at a time in this instance; 0: as the queue says */
	int max_running; /* on all hosts; 0: no limit */
	struct rate_config rate;
	struct task_defaults limits; /* resolved against `defaults` */
	char *working_directory;     /* exec, pool; NULL: / */
	char **environment; /* exec, pool: "NAME=value", NULL at the end */
	struct processes_config processes; /* pool; so are those below */
	struct recycle_config recycle;
	int64_t idle_timeout_ms, start_timeout_ms;
	char *url;	/* http */
	char **headers; /* http: "Name=text" or "Name<file", NULL at the end */
	char *ca_file;	/* http; NULL: the system's authorities */
	int64_t connect_timeout_ms; /* http; -1: not given */
	int allow_private;	    /* http; 1: yes, 0: no, -1: not given */
	/* Of its programs; what is not above 0 is not limited. */
	int64_t memory_max_bytes; /* all processes of a task together */
	double cpu_max;		  /* processors */
	int pids_max;		  /* processes and threads */
	int64_t cpu_time_ms;	  /* of each process */
	int open_files;		  /* of each process */
	int64_t core_bytes;	  /* not above 0: no core */
	int umask;		  /* below 0: the daemon's */
	int nice;		  /* not above 0: as nice as the daemon */
};

/* What becomes of ticks that nobody could fire, and of a tick while the task of
 * the last one is open. */
enum { SCHEDULE_MISSED = 3, SCHEDULE_OVERLAP = 3 };
extern const char *const config_missed_words[SCHEDULE_MISSED],
    *const config_overlap_words[SCHEDULE_OVERLAP];

struct schedule_config {
	char *name;
	char *cron;	  /* NULL: every */
	int64_t every_ms; /* negative: cron */
	char *timezone, *kind, *queue;
	char *payload; /* JSON; NULL: {} */
	int priority;
	int max_attempts;    /* negative: as the handler says */
	int64_t timeout_ms;  /* the same */
	int missed, overlap; /* numbers of words */
	int64_t jitter_ms;
};

/* Messages that become tasks. */
struct trigger_config {
	char *name;
	char *channel; /* or NULL: */
	char *pattern; /* of channels */
	char *kind, *queue;
	int priority;
	double rate; /* a second */
	int burst;
};

struct config {
	char *database;	       /* libpq conninfo or URI */
	char *direct_database; /* past a transaction pooler; NULL: none */
	char *redis;	       /* NULL: none */
	char *cluster;
	int workers; /* resolved: never 0 */
	char *runtime_dir;
	enum log_level log_level;
	enum log_format log_format;
	int64_t shutdown_timeout_ms, watchdog_ms, heartbeat_ms;
	int64_t poll_interval_ms;
	bool prepared_statements;
	int64_t max_payload_bytes, max_result_bytes, max_message_bytes;
	int crash_limit;
	char *admin_group; /* NULL: none */
	struct sql_connections_config sql_connections;
	struct task_defaults defaults;
	struct queue_config *queues; /* by name */
	size_t queue_count;
	struct handler_config *handlers; /* by kind */
	size_t handler_count;
	struct schedule_config *schedules; /* by name */
	size_t schedule_count;
	struct trigger_config *triggers; /* by name */
	size_t trigger_count;
};

/* All errors of a load, in the order of files and lines. */
struct config_errors {
	struct error *items; /* owned */
	char **carets;	     /* owned: the line and a caret under the place */
	size_t count;
};

/*
 * Reads `file` and then conf.d/(*.yaml) beside it in name order, merges and
 * checks. Returns a configuration that the caller frees, or NULL with every
 * error found in `ret_errors` (at most 100; the caller frees them).
 */
struct config *config_load(const char *file, struct config_errors *ret_errors);
void config_errors_free(struct config_errors *errors);

/* Frees all of it; takes NULL; returns NULL. */
struct config *config_free(struct config *config);

/* The blob that other processes read; config_decode gives NULL with `error`
 * filled when the bytes are not a blob of this version. */
void config_encode(const struct config *config, struct text *ret_blob);
struct config *config_decode(
    const void *blob, size_t size, struct error *error);

/* The merged configuration as YAML, passwords replaced (musterd -T). */
void config_print(const struct config *config, struct text *ret_text);

/* What a change from `old` to `new` asks for, the strongest of its keys. */
enum config_change {
	CONFIG_SAME,
	CONFIG_IN_PLACE,    /* children take the new one over */
	CONFIG_NEW_WORKERS, /* children are replaced */
	CONFIG_RESTART,	    /* needs a restart of the service */
};
/* `ret_key` names the first key of that strength (static string). A
 * configuration that names files to be read is never the same. */
enum config_change config_compare(
    const struct config *old, const struct config *new, const char **ret_key);

/* By name or kind; NULL when there is none. */
const struct queue_config *config_queue(
    const struct config *config, const char *name);
const struct handler_config *config_handler(
    const struct config *config, const char *kind);

/* `database` or any conninfo with its password replaced by ***. */
void config_hide_password(const char *conninfo, struct text *ret_text);

#endif
