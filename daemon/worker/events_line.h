/*
 * One line of a worker's FIFO, as a program of a task writes it:
 *
 *   {"progress":{"id":"42","token":"9-42","fraction":0.4,"note":"page 2"}}
 *   {"chunk":{"id":"42","token":"9-42","data":…}}
 */
#ifndef DAEMON_WORKER_EVENTS_LINE_H
#define DAEMON_WORKER_EVENTS_LINE_H

#include <limits.h>
#include <stdint.h>

#include "common/json_member.h"

/* What is written in one piece is not mixed with others' up to this length,
 * the newline among it. */
enum { EVENTS_LINE_MAX = PIPE_BUF };

enum events_kind { EVENTS_PROGRESS, EVENTS_CHUNK };

struct events_line {
	enum events_kind kind;
	int64_t task, lease;
	double fraction;	/* of progress */
	struct text note;	/* of progress; owned */
	struct json_value data; /* of a chunk; within the line */
};

/*
 * Reads a line without its newline. What somebody began and never ended may
 * stand before a whole one; that one counts then. False: there is none.
 * `ret_whole` says whether it was all of the line.
 */
bool events_line_read(const char *line, size_t length,
    struct events_line *ret_line, bool *ret_whole);
void events_line_free(struct events_line *line);

#endif
