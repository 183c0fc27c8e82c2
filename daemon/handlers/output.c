#include "daemon/handlers/output.h"

#include <string.h>

#include "common/json_text.h"
#include "daemon/handlers/output_said.h"

static void
keep_tail(struct text *tail, const char *bytes, size_t length)
{
	if (length > OUTPUT_TAIL_BYTES) {
		bytes += length - OUTPUT_TAIL_BYTES;
		length = OUTPUT_TAIL_BYTES;
	}
	if (tail->length + length > 2 * OUTPUT_TAIL_BYTES) {
		size_t kept = OUTPUT_TAIL_BYTES;

		memmove(tail->data, tail->data + tail->length - kept, kept);
		tail->length = kept;
	}
	text_add(tail, bytes, length);
}

/* In place of the object, whose bytes are the last ones. */
static void
keep_message(struct output_lines *lines, const struct text *message)
{
	struct text *tail = &lines->tail;
	bool ended = tail->data[tail->length - 1] == '\n';
	size_t length = lines->line.length + ended;

	tail->length = tail->length > length ? tail->length - length : 0;
	keep_tail(tail, message->data, message->length);
	if (ended)
		keep_tail(tail, "\n", 1);
}

/* Whether one more line is logged. */
static bool
has_room(struct output_lines *lines)
{
	if (lines->logged < OUTPUT_LINES) {
		lines->logged++;
		return true;
	}
	lines->suppressed++;
	return false;
}

static void
log_plain(struct output_lines *lines, const struct log_context *context)
{
	struct text shown = TEXT_EMPTY;

	if (!has_room(lines))
		return;
	text_add_escaped(&shown, lines->line.data, lines->line.length);
	if (lines->cut)
		text_add_string(&shown, " (cut)");
	log_write(LOG_LEVEL_INFO, LOG_HANDLER_OUTPUT, context, "%s",
	    text_string(&shown));
	text_free(&shown);
}

static void
log_said(struct output_lines *lines, const struct log_context *context,
    const struct output_said *said)
{
	struct log_context about = *context;

	if (said->level > log_level_now() || !has_room(lines))
		return;
	if (lines->about != NULL)
		lines->about(&about, said->task, lines->argument);
	about.fields = said->fields;
	about.field_count = said->count;
	log_write(said->level, LOG_HANDLER_OUTPUT, &about, "%s",
	    text_string(&said->message));
}

static void
log_line(struct output_lines *lines, const struct log_context *context)
{
	struct output_said said;

	if (lines->reads_objects && !lines->cut &&
	    output_said_read(lines->line.data, lines->line.length, &said)) {
		keep_message(lines, &said.message);
		log_said(lines, context, &said);
		output_said_free(&said);
	} else {
		log_plain(lines, context);
	}
	text_clear(&lines->line);
	lines->cut = false;
}

/* Adds to the line that has not ended, as far as it is wanted. */
static void
extend_line(struct output_lines *lines, const char *bytes, size_t length)
{
	size_t room = OUTPUT_LINE_BYTES - lines->line.length;

	if (length > room) {
		length = room;
		lines->cut = true;
	}
	text_add(&lines->line, bytes, length);
}

void
output_lines_add(struct output_lines *lines, const struct log_context *context,
    const char *bytes, size_t length)
{
	while (length > 0) {
		const char *newline = memchr(bytes, '\n', length);
		size_t line =
		    newline == NULL ? length : (size_t)(newline - bytes);
		size_t step = line + (newline != NULL);

		keep_tail(&lines->tail, bytes, step);
		extend_line(lines, bytes, line);
		if (newline != NULL)
			log_line(lines, context);
		bytes += step;
		length -= step;
	}
}

static void
tell_suppressed(struct output_lines *lines, const struct log_context *context)
{
	if (lines->suppressed > 0)
		log_write(LOG_LEVEL_INFO, LOG_HANDLER_OUTPUT, context,
		    "suppressed %ld lines", lines->suppressed);
	lines->suppressed = 0;
}

void
output_lines_window(struct output_lines *lines,
    const struct log_context *context, int64_t window_ms, struct mono now)
{
	if (window_ms == 0 || mono_ms_between(lines->window, now) < window_ms)
		return;
	tell_suppressed(lines, context);
	lines->logged = 0;
	lines->window = now;
}

void
output_lines_end(struct output_lines *lines, const struct log_context *context)
{
	if (lines->line.length > 0)
		log_line(lines, context);
	tell_suppressed(lines, context);
}

const char *
output_lines_tail(const struct output_lines *lines, size_t *ret_length)
{
	const char *start = text_string(&lines->tail);
	size_t length = lines->tail.length;

	if (length > OUTPUT_TAIL_BYTES) {
		start += length - OUTPUT_TAIL_BYTES;
		length = OUTPUT_TAIL_BYTES;
		for (int i = 0; i < 3 && ((unsigned char)*start & 0xc0) == 0x80;
		     i++, length--)
			start++;
	}
	while (length > 0 && start[length - 1] == '\n')
		length--;
	*ret_length = length;
	return start;
}

void
output_lines_free(struct output_lines *lines)
{
	text_free(&lines->line);
	text_free(&lines->tail);
}

const char *
output_to_result(struct text *output)
{
	struct text string = TEXT_EMPTY;
	const char *why;

	if (output->length == 0)
		return NULL;
	if (!utf8_is_valid(output->data, output->length))
		return "is not valid UTF-8 text";
	switch (json_text_judge(output->data, output->length, &why)) {
	case JSON_TEXT_FIT:
		return NULL;
	case JSON_TEXT_UNFIT:
		return why;
	case JSON_TEXT_NONE:
		break;
	}
	text_add_json_string(&string, output->data, output->length);
	text_free(output);
	*output = string;
	return NULL;
}
