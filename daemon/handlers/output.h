/*
 * What a handler's program says: its standard error goes to the log line by
 * line, its standard output becomes the result.
 */
#ifndef DAEMON_HANDLERS_OUTPUT_H
#define DAEMON_HANDLERS_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"

enum {
	OUTPUT_LINES = 1000,	      /* of a task that are logged */
	OUTPUT_LINE_BYTES = 16 << 10, /* of a line */
	OUTPUT_TAIL_BYTES = 4 << 10,  /* kept as the error's text */
};

/* Fills in what is known of a task that the program says it speaks of; 0: it
 * does not say. */
typedef void output_about_cb(
    struct log_context *context, int64_t task, void *argument);

/* Standard error; zeroed at the start. */
struct output_lines {
	bool reads_objects;	/* lines may be objects, see output_said.h */
	output_about_cb *about; /* NULL: the context is all that is known */
	void *argument;
	struct text line; /* not ended yet */
	struct text tail; /* the last bytes, at least OUTPUT_TAIL_BYTES; of
			     an object its message */
	int logged;
	long suppressed;
	bool cut;	    /* the rest of this line is not wanted */
	struct mono window; /* of OUTPUT_LINES: when it began */
};

void output_lines_add(struct output_lines *lines,
    const struct log_context *context, const char *bytes, size_t length);
/* Of a program that lives long OUTPUT_LINES are logged in each window of so
 * many ms, not in all. 0: in all. */
void output_lines_window(struct output_lines *lines,
    const struct log_context *context, int64_t window_ms, struct mono now);
/* Logs the last line, if it had no end, and how many were suppressed. */
void output_lines_end(
    struct output_lines *lines, const struct log_context *context);
/* The last OUTPUT_TAIL_BYTES at most, without the newlines at the end; starts
 * at a character. Points into `lines`. */
const char *output_lines_tail(
    const struct output_lines *lines, size_t *ret_length);
void output_lines_free(struct output_lines *lines);

/*
 * The result that `output` stands for: nothing is null, JSON stays as it is,
 * other text becomes a JSON string. Rewrites `output` and returns NULL; or says
 * what is wrong (a static string: "is not …").
 */
const char *output_to_result(struct text *output);

#endif
