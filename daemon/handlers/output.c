#include "daemon/handlers/output.h"

#include <string.h>

#include "common/json_text.h"

static void
log_line(struct output_lines *lines, const struct log_context *context)
{
	struct text shown = TEXT_EMPTY;

	if (lines->logged >= OUTPUT_LINES) {
		lines->suppressed++;
	} else {
		lines->logged++;
		text_add_escaped(&shown, lines->line.data, lines->line.length);
		if (lines->cut)
			text_add_string(&shown, " (cut)");
		log_write(LOG_LEVEL_INFO, LOG_HANDLER_OUTPUT, context, "%s",
		    text_string(&shown));
		text_free(&shown);
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
	if (lines->logged >= OUTPUT_LINES && lines->line.length > 0)
		return; /* only that there is a line counts now */
	text_add(&lines->line, bytes, length);
}

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

void
output_lines_add(struct output_lines *lines, const struct log_context *context,
    const char *bytes, size_t length)
{
	const char *newline;

	keep_tail(&lines->tail, bytes, length);
	while ((newline = memchr(bytes, '\n', length)) != NULL) {
		size_t before = (size_t)(newline - bytes);

		extend_line(lines, bytes, before);
		log_line(lines, context);
		bytes += before + 1;
		length -= before + 1;
	}
	if (length > 0)
		extend_line(lines, bytes, length);
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
