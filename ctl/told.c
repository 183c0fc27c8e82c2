#include "ctl/told.h"

#include <stdio.h>
#include <string.h>

#include "ctl/format.h"
#include "common/clock.h"

enum told_type
told_type(struct json_value message)
{
	static const char *const names[] = {
	    [TOLD_PROGRESS] = "\"progress\"",
	    [TOLD_CHUNK] = "\"chunk\"",
	    [TOLD_END] = "\"end\"",
	};
	struct json_value type;

	if (!json_member(message, "type", &type))
		return TOLD_ELSE;
	for (int i = 0; i < TOLD_ELSE; i++)
		if (strlen(names[i]) == type.length &&
		    memcmp(names[i], type.at, type.length) == 0)
			return (enum told_type)i;
	return TOLD_ELSE;
}

int64_t
told_at_us(struct json_value message)
{
	struct json_value at;
	double seconds;

	if (!json_member(message, "at", &at) ||
	    !json_value_double(at, &seconds) || seconds < 0 || seconds > 1e11)
		return 0;
	return (int64_t)(seconds * 1e6);
}

void
told_add_progress(struct text *text, struct json_value message)
{
	struct text note = TEXT_EMPTY;
	struct json_value value;
	double fraction = 0;

	if (json_member(message, "fraction", &value) &&
	    json_value_double(value, &fraction) && fraction >= 0 &&
	    fraction <= 1)
		text_addf(text, "%d%%", (int)(fraction * 100 + 0.5));
	if (json_member(message, "note", &value) &&
	    json_value_string(value, &note) && note.length > 0) {
		text_add_string(text, "  ");
		text_add_escaped(text, note.data, note.length);
	}
	text_free(&note);
}

/* Blanks between its parts become spaces, and the rest stands in strings only.
 */
void
told_add_json(struct text *text, struct json_value value)
{
	for (size_t i = 0; i < value.length; i++) {
		unsigned char c = (unsigned char)value.at[i];

		if (c == '\n' || c == '\r' || c == '\t') {
			text_add_char(text, ' ');
		} else if (c == 0x7f) {
			text_add_string(text, "\\u007f");
		} else if (c == 0xc2 && i + 1 < value.length &&
			   (unsigned char)value.at[i + 1] < 0xa0) {
			text_addf(text, "\\u%04x",
			    (unsigned)(unsigned char)value.at[++i]);
		} else {
			text_add_char(text, (char)c);
		}
	}
}

/* A member's value as it is written; null when there is none. */
static void
add_value(struct json *json, struct json_value object, const char *name)
{
	struct text tame = TEXT_EMPTY;
	struct json_value value;

	if (json_member(object, name, &value))
		told_add_json(&tame, value);
	json_add_raw(json, tame.length > 0 ? text_string(&tame) : NULL);
	text_free(&tame);
}

static void
add_member(struct json *json, struct json_value object, const char *name)
{
	json_add_key(json, name);
	add_value(json, object, name);
}

static void
print_json(int64_t task, const char *name, struct json_value message)
{
	struct json json = JSON_EMPTY;
	struct text id = TEXT_EMPTY;

	text_add_int(&id, task);
	json_begin(&json, '{');
	json_add_key(&json, "task");
	json_add_string(&json, text_string(&id));
	json_add_key(&json, "name");
	json_add_string(&json, name);
	add_member(&json, message, "at");
	if (told_type(message) == TOLD_PROGRESS) {
		json_add_key(&json, "progress");
		json_begin(&json, '{');
		add_member(&json, message, "fraction");
		add_member(&json, message, "note");
		json_end(&json, '}');
	} else {
		json_add_key(&json, "chunk");
		add_value(&json, message, "data");
	}
	json_end(&json, '}');
	json_print(&json);
	text_free(&id);
}

/* A string says what it says; anything else is shown as it is written. */
static void
add_chunk(struct text *line, struct json_value message)
{
	struct text string = TEXT_EMPTY;
	struct json_value data;

	if (!json_member(message, "data", &data))
		return;
	if (json_value_string(data, &string))
		text_add_escaped(line, text_string(&string), string.length);
	else
		told_add_json(line, data);
	text_free(&string);
}

void
told_print(const struct ctl *ctl, int64_t task, const char *name,
    struct json_value message)
{
	struct text line = TEXT_EMPTY;
	int64_t at = told_at_us(message);

	if (ctl_json(ctl)) {
		print_json(task, name, message);
		return;
	}
	format_time(&line, at > 0 ? at : wall_now_us());
	text_addf(&line, " %lld ", (long long)task);
	text_add_escaped(&line, name, strlen(name));
	text_add_char(&line, ' ');
	if (told_type(message) == TOLD_PROGRESS) {
		told_add_progress(&line, message);
	} else {
		text_add_string(&line, "| ");
		add_chunk(&line, message);
	}
	puts(text_string(&line));
	text_free(&line);
}

void
told_json_progress(struct json *json, const struct text *message)
{
	struct json_value value;

	json_add_key(json, "progress");
	if (!json_value_of(text_string(message), message->length, &value)) {
		json_add_raw(json, NULL);
		return;
	}
	json_begin(json, '{');
	add_member(json, value, "at");
	add_member(json, value, "fraction");
	add_member(json, value, "note");
	json_end(json, '}');
}
