/*
 * The parts of the log: how a message is written, and the two ways out of the
 * process. Private to the log*.c files and their tests.
 */
#ifndef COMMON_LOG_PARTS_H
#define COMMON_LOG_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/log.h"
#include "common/text.h"

enum {
	LOG_LINE_LIMIT = 16384, /* of a message, and of a line with its end */
	LOG_RING_SIZE = 256 * 1024,
};

struct log_record {
	int64_t wall_us;
	enum log_level level;
	const char *kind_id; /* NULL: none */
	const struct log_context *context;
	bool bare; /* the message stands in the journal as it is */
	const char *role;
	int worker;
	const char *message; /* any bytes */
	size_t length;
};

/* A handler's fields one after another, as far as there is room for them. */
struct log_walk {
	size_t at, used;   /* zeroed at first */
	struct text name;  /* as the journal has it */
	struct text value; /* escaped, but for line feeds and tabs */
};

/* False: there is no other, and the walk has let go of its memory. */
bool log_walk_next(struct log_walk *walk, const struct log_context *context);

/* One line each, with its line feed. */
void log_line_text(const struct log_record *record, struct text *ret_line);
void log_line_json(const struct log_record *record, struct text *ret_line);
/* "2026-11-21T06:30:00.123Z" */
void log_add_time(int64_t wall_us, struct text *ret_text);
/* " task=42 kind=resize …" */
void log_add_context(const struct log_context *context, struct text *ret_text);
/* Foreign text, escaped; at most about `limit` bytes; line feeds and tabs
 * stay if `lines`. */
void log_add_message(const char *bytes, size_t length, bool lines, size_t limit,
    struct text *ret_text);

/* The journal: a datagram in its native protocol. Open gives 0 or -errno; send
 * false when journald does not take it now. */
void log_journal_fields(
    const struct log_record *record, struct text *ret_datagram);
int log_journal_open(void);
bool log_journal_send(const void *datagram, size_t size);
void log_journal_close(void);
extern const char *log_journal_path; /* tests put their own socket here */

/*
 * The ring and the thread that writes it to `fd`, which may block for ever
 * without harm. Add gives false when there is no room. Close waits for the
 * thread at most so long, ends it, and returns how many lines were lost.
 */
void log_ring_open(int fd);
bool log_ring_add(const void *line, size_t size);
uint64_t log_ring_close(int limit_ms);

#endif
