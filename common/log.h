/*
 * The log of a process. Never blocks the caller: under systemd a message goes
 * to journald's socket without waiting; elsewhere into a bounded ring that a
 * thread writes to standard error as text or JSON lines. What does not fit is
 * dropped and counted, and the count is logged once there is room.
 *
 * A message has a level, a message kind (for journal's MESSAGE_ID), a context
 * and a sentence: short, lower case, no period, facts first.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level {
	LOG_LEVEL_ERROR = 3, /* syslog's numbers */
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_NOTICE = 5,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/*
 * What a handler says beside its words. It becomes the field HANDLER_<NAME>, in
 * capitals, with _ for what is no letter or digit: so it can never be taken for
 * one of ours. Of a message so many are kept, and LOG_FIELDS_BYTES in all.
 */
enum {
	LOG_FIELDS = 16,
	LOG_FIELDS_BYTES = 4096,
	LOG_FIELD_NAME = 64,	/* bytes, HANDLER_ among them; */
	LOG_FIELD_VALUE = 1024, /* the rest is cut off */
};

struct log_field {
	const char *name, *value; /* any bytes */
	size_t name_length, value_length;
};

/*
 * What a message is about; zero and NULL mean "not about one". Becomes the
 * fields MUSTER_TASK, MUSTER_FLOW, MUSTER_KIND, MUSTER_QUEUE, MUSTER_WORKER,
 * MUSTER_ATTEMPT, TRACE_ID. The strings must live until the call returns.
 */

struct log_context {
	int64_t task, flow;
	int attempt;
	const char *kind, *queue, *trace_id;
	const struct log_field *fields;
	size_t field_count;
};

/*
 * Kinds of message that programs look for; each has a fixed 128-bit id that
 * the manual lists. LOG_PLAIN has none.
 */
enum log_kind {
	LOG_PLAIN,
	LOG_STARTED,	    /* daemon ready */
	LOG_STOPPED,	    /* daemon ended its drain */
	LOG_RELOADED,	    /* new configuration in force */
	LOG_RELOAD_REFUSED, /* configuration wrong, old one kept */
	LOG_CHILD_DIED,	    /* a worker or scheduler ended unexpectedly */
	LOG_CHILD_HUNG,	    /* the watchdog ended a child */
	LOG_TASK_FAILED,    /* an attempt or a task failed */
	LOG_TASK_RESCUED,   /* leases of a dead worker handed back */
	LOG_TASK_CANCELLED, /* a task was cancelled, as asked */
	LOG_HANDLER_OUTPUT, /* a line that a handler wrote to its stderr */
	LOG_DATABASE_LOST,  /* connection to PostgreSQL lost */
	LOG_DATABASE_BACK,  /* and back */
	LOG_REDIS_LOST,
	LOG_REDIS_BACK,
	LOG_UNRECORDED, /* finished tasks that PostgreSQL was not told of */
	LOG_KINDS,	/* how many there are */
};

/*
 * Opens the log of this process. `role` ("supervisor", "worker", …) and
 * `worker` (its index, -1: none; sent as MUSTER_WORKER) mark every message.
 * Chooses the journal when standard error is connected to it (JOURNAL_STREAM)
 * and `format` is LOG_FORMAT_AUTO. Starts the writing thread otherwise.
 * To be called once, before any other thread exists.
 */
void log_open(const char *role, int worker, enum log_format format);

/* Waits at most `limit_ms` for the ring to be written, then closes the log. */
void log_close(int limit_ms);

/* Messages above this level are skipped; may change at any time. */
void log_set_level(enum log_level level);
enum log_level log_level_now(void);
bool log_level_parse(const char *name, enum log_level *ret_level);
const char *log_level_name(enum log_level level);

/*
 * Logs one message. `context` may be NULL. Control characters are escaped; a
 * line feed stays one in the journal. Cut at 16 KiB. From any thread, but not
 * between fork and exec. Before log_open it goes to standard error at once.
 */
void log_write(enum log_level level, enum log_kind kind,
    const struct log_context *context, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, LOG_PLAIN, NULL, __VA_ARGS__)
#define log_warning(...)                                                       \
	log_write(LOG_LEVEL_WARNING, LOG_PLAIN, NULL, __VA_ARGS__)
#define log_notice(...)                                                        \
	log_write(LOG_LEVEL_NOTICE, LOG_PLAIN, NULL, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, LOG_PLAIN, NULL, __VA_ARGS__)
#define log_debug(...)                                                         \
	do {                                                                   \
		if (log_level_now() >= LOG_LEVEL_DEBUG)                        \
			log_write(                                             \
			    LOG_LEVEL_DEBUG, LOG_PLAIN, NULL, __VA_ARGS__);    \
	} while (0)

/* The 128-bit id of a kind of message in hexadecimal; NULL for LOG_PLAIN. */
const char *log_kind_id(enum log_kind kind);

/* How many messages were dropped since the log was opened. */
uint64_t log_dropped(void);

#endif
