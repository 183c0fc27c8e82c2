#include "daemon/worker/events_line.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A positive number that is all of the text up to `end`; 0 otherwise. */
static int64_t
number(const char *text, char end, const char **ret_after)
{
	char *after;
	long long value = strtoll(text, &after, 10);

	if (text[0] < '1' || text[0] > '9' || *after != end ||
	    value == INT64_MAX)
		return 0;
	*ret_after = after;
	return value;
}

/* The token is the lease and the task again. */
static bool
read_ids(struct json_value object, struct events_line *line)
{
	struct text id = TEXT_EMPTY, token = TEXT_EMPTY;
	struct json_value value;
	const char *after = "";
	bool fine;

	fine = json_member(object, "id", &value) &&
	       json_value_string(value, &id) &&
	       json_member(object, "token", &value) &&
	       json_value_string(value, &token);
	if (fine) {
		line->task = number(text_string(&id), '\0', &after);
		line->lease = number(text_string(&token), '-', &after);
		fine = line->task > 0 && line->lease > 0 &&
		       strcmp(after + 1, text_string(&id)) == 0;
	}
	text_free(&id);
	text_free(&token);
	return fine;
}

static bool
read_progress(struct json_value object, struct events_line *line)
{
	struct json_value value;

	line->kind = EVENTS_PROGRESS;
	if (!json_member(object, "fraction", &value) ||
	    !json_value_double(value, &line->fraction))
		return false;
	return !json_member(object, "note", &value) ||
	       json_value_string(value, &line->note);
}

static bool
read_chunk(struct json_value object, struct events_line *line)
{
	line->kind = EVENTS_CHUNK;
	return json_member(object, "data", &line->data);
}

static bool
read_whole(const char *bytes, size_t length, struct events_line *ret_line)
{
	struct events_line line = {0};
	struct json_value outer, inner;
	bool fine =
	    length < EVENTS_LINE_MAX && json_value_of(bytes, length, &outer);

	if (fine && json_member(outer, "progress", &inner))
		fine = read_progress(inner, &line);
	else if (fine && json_member(outer, "chunk", &inner))
		fine = read_chunk(inner, &line);
	else
		fine = false;
	if (fine && read_ids(inner, &line)) {
		*ret_line = line;
		return true;
	}
	text_free(&line.note);
	return false;
}

bool
events_line_read(const char *line, size_t length, struct events_line *ret_line,
    bool *ret_whole)
{
	static const char *const begins[] = {"{\"progress\":", "{\"chunk\":"};
	const char *end = line + length;

	*ret_whole = read_whole(line, length, ret_line);
	if (*ret_whole)
		return true;
	for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++) {
		size_t size = strlen(begins[i]);
		const char *at = line + 1;

		while (at < end && (at = memmem(at, (size_t)(end - at),
					begins[i], size)) != NULL) {
			if (read_whole(at, (size_t)(end - at), ret_line))
				return true;
			at++;
		}
	}
	return false;
}

void
events_line_free(struct events_line *line)
{
	text_free(&line->note);
}
