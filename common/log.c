#include "common/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log_parts.h"

/*
 * Where messages go:  BEFORE ─log_open→ JOURNAL or RING ─log_close→ AFTER
 */
enum state { BEFORE, JOURNAL, RING, AFTER };

static struct {
	_Atomic(enum state) state;
	atomic_int level;
	atomic_uint_fast64_t dropped;
	atomic_uint_fast64_t unreported; /* of the dropped ones */
	enum log_format format;
	char role[24];
	int worker;
} the_log = {.level = LOG_LEVEL_INFO, .worker = -1};

static const char *const level_names[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARNING] = "warning",
    [LOG_LEVEL_NOTICE] = "notice",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

/* Never to change: programs look for them. */
static const char *const kind_ids[LOG_KINDS] = {
    [LOG_STARTED] = "725ab6c268307b02ea591936752d41b2",
    [LOG_STOPPED] = "fa663622131ee8b50bf24ef944b90d36",
    [LOG_RELOADED] = "e1e7d4baeab66e463fa49ccdff5f0157",
    [LOG_RELOAD_REFUSED] = "24e362212cb3bfcc7de9e7b21e0ed98d",
    [LOG_CHILD_DIED] = "84913ad7659bbf454b72aac839f78ce9",
    [LOG_CHILD_HUNG] = "e52e12cd9244b4ff67bfe7e9e21d16d5",
    [LOG_TASK_FAILED] = "3fecee9758340ade6a9c446b2ecf715e",
    [LOG_TASK_RESCUED] = "102dd5d455eda5e2d1a2ac722bca264c",
    [LOG_TASK_CANCELLED] = "1a8792d24d956ee1988966277db4860e",
    [LOG_HANDLER_OUTPUT] = "9749029de32b685d2fb96aaa782b9c3a",
    [LOG_DATABASE_LOST] = "610d96a4ebb97f71aeaa09afcfcbba40",
    [LOG_DATABASE_BACK] = "c47dc7fa01b3eff05a555efef00250d4",
    [LOG_REDIS_LOST] = "f0672837aa9399223f8804da3db642cf",
    [LOG_REDIS_BACK] = "497c9ca0721dfd81635cc9e18094ef4d",
    [LOG_UNRECORDED] = "3298a17a896bc5fccb401c259d0c7d19",
};

/* Whether standard error is the stream that JOURNAL_STREAM names, as
 * "device:inode". */
static bool
stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat status;
	char rest;

	return stream != NULL &&
	       sscanf(stream, "%llu:%llu%c", &device, &inode, &rest) == 2 &&
	       fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device &&
	       status.st_ino == inode;
}

void
log_open(const char *role, int worker, enum log_format format)
{
	enum state state = RING;

	snprintf(the_log.role, sizeof(the_log.role), "%s", role);
	the_log.worker = worker;
	the_log.format = format == LOG_FORMAT_AUTO ? LOG_FORMAT_TEXT : format;
	if (format == LOG_FORMAT_AUTO && stderr_is_journal() &&
	    log_journal_open() == 0)
		state = JOURNAL;
	else
		log_ring_open(STDERR_FILENO);
	the_log.state = state;
}

void
log_set_level(enum log_level level)
{
	the_log.level = (int)level;
}

enum log_level
log_level_now(void)
{
	return (enum log_level)the_log.level;
}

bool
log_level_parse(const char *name, enum log_level *ret_level)
{
	for (int i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++) {
		if (strcmp(name, level_names[i]) != 0)
			continue;
		*ret_level = (enum log_level)i;
		return true;
	}
	return false;
}

const char *
log_level_name(enum log_level level)
{
	if (level < LOG_LEVEL_ERROR || level > LOG_LEVEL_DEBUG)
		return "unknown";
	return level_names[level];
}

const char *
log_kind_id(enum log_kind kind)
{
	return kind < LOG_KINDS ? kind_ids[kind] : NULL;
}

uint64_t
log_dropped(void)
{
	return the_log.dropped;
}

/* Whether it was taken; false: no room now. */
static bool
deliver(enum state state, const struct log_record *record)
{
	struct text text = TEXT_EMPTY;
	bool taken = false;

	if (state == JOURNAL)
		log_journal_fields(record, &text);
	else if (the_log.format == LOG_FORMAT_JSON)
		log_line_json(record, &text);
	else
		log_line_text(record, &text);
	if (state == JOURNAL)
		taken = log_journal_send(text.data, text.length);
	else if (state == RING)
		taken = log_ring_add(text.data, text.length);
	else if (state == BEFORE)
		taken = write(STDERR_FILENO, text.data, text.length) ==
			(ssize_t)text.length;
	text_free(&text);
	return taken;
}

static struct log_record
record_of(enum log_level level, enum log_kind kind,
    const struct log_context *context, const char *message, size_t length)
{
	static const struct log_context nothing;

	return (struct log_record){
	    .wall_us = wall_now_us(),
	    .level = level,
	    .kind_id = log_kind_id(kind),
	    .context = context == NULL ? &nothing : context,
	    .bare = kind == LOG_HANDLER_OUTPUT,
	    .role = the_log.role,
	    .worker = the_log.worker,
	    .message = message,
	    .length = length,
	};
}

/* Tells of what was dropped before the next message goes out; another thread
 * that comes between adds to the count of the next one. */
static bool
report_dropped(enum state state)
{
	uint64_t count = atomic_exchange(&the_log.unreported, 0);
	struct log_record record;
	char message[96];
	int length;

	if (count == 0)
		return true;
	length = snprintf(message, sizeof(message),
	    "suppressed %llu messages: the reader of the log was too slow",
	    (unsigned long long)count);
	record = record_of(
	    LOG_LEVEL_WARNING, LOG_PLAIN, NULL, message, (size_t)length);
	if (deliver(state, &record))
		return true;
	the_log.unreported += count;
	return false;
}

void
log_write(enum log_level level, enum log_kind kind,
    const struct log_context *context, const char *format, ...)
{
	enum state state = the_log.state;
	char message[LOG_LINE_LIMIT];
	struct log_record record;
	va_list arguments;
	int length, error = errno;

	if ((int)level > the_log.level)
		return;
	va_start(arguments, format);
	length = vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	if (length >= (int)sizeof(message))
		length = sizeof(message) - 1;
	record = record_of(
	    level, kind, context, message, length < 0 ? 0 : (size_t)length);
	if (!report_dropped(state) || !deliver(state, &record)) {
		the_log.dropped++;
		the_log.unreported++;
	}
	errno = error;
}

void
log_close(int limit_ms)
{
	enum state state = the_log.state;

	if (state == JOURNAL || state == RING)
		(void)report_dropped(state); /* no room: counted all the same */
	the_log.state = AFTER;
	if (state == JOURNAL)
		log_journal_close();
	else if (state == RING)
		the_log.dropped += log_ring_close(limit_ms);
}
