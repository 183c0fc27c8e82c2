/* How a message looks as a line. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/log_parts.h"

/* What stands beside the message is far shorter than this. */
enum { BESIDE = 2048, NAME_LIMIT = 128 };

void
log_add_time(int64_t wall_us, struct text *ret_text)
{
	time_t seconds = (time_t)(wall_us / 1000000);
	struct tm tm;
	char buffer[32];

	gmtime_r(&seconds, &tm);
	strftime(buffer, sizeof(buffer), "%Y-%m-%dT%H:%M:%S", &tm);
	text_addf(
	    ret_text, "%s.%03dZ", buffer, (int)(wall_us % 1000000 / 1000));
}

/* Cuts a text at a character so that it has no more than `limit` bytes. */
static void
cut(struct text *text, size_t limit)
{
	if (text->length <= limit)
		return;
	while (limit > 0 && ((unsigned char)text->data[limit] & 0xc0) == 0x80)
		limit--;
	text->length = limit;
	text->data[limit] = '\0';
	text_add_string(text, "…");
}

void
log_add_message(const char *bytes, size_t length, bool lines, size_t limit,
    struct text *ret_text)
{
	const char *end = bytes + length;
	struct text clean = TEXT_EMPTY;

	while (bytes < end && clean.length <= limit) {
		const char *stop = bytes;

		while (
		    stop < end && !(lines && (*stop == '\n' || *stop == '\t')))
			stop++;
		text_add_escaped(&clean, bytes, (size_t)(stop - bytes));
		if (stop < end)
			text_add_char(&clean, *stop++);
		bytes = stop;
	}
	cut(&clean, limit);
	text_add(ret_text, clean.data, clean.length);
	text_free(&clean);
}

static void
add_name(const char *key, const char *value, struct text *ret_text)
{
	if (value == NULL)
		return;
	text_addf(ret_text, " %s=", key);
	log_add_message(value, strlen(value), false, NAME_LIMIT, ret_text);
}

static void
add_number(const char *key, int64_t value, struct text *ret_text)
{
	if (value != 0)
		text_addf(ret_text, " %s=%lld", key, (long long)value);
}

void
log_add_context(const struct log_context *context, struct text *ret_text)
{
	add_number("task", context->task, ret_text);
	add_number("flow", context->flow, ret_text);
	add_name("kind", context->kind, ret_text);
	add_name("queue", context->queue, ret_text);
	add_number("attempt", context->attempt, ret_text);
	add_name("trace", context->trace_id, ret_text);
}

/* How many of these bytes JSON writes as two. */
static size_t
json_extra(const struct text *text)
{
	size_t extra = 0;

	for (size_t i = 0; i < text->length; i++)
		extra += strchr("\"\\\n\t", text->data[i]) != NULL;
	return extra;
}

static void
add_field_name(const struct log_field *field, struct text *ret_text)
{
	text_add_string(ret_text, "HANDLER_");
	for (size_t i = 0; i < field->name_length; i++) {
		char c = field->name[i];
		bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			    (c >= '0' && c <= '9');

		if (ret_text->length < LOG_FIELD_NAME)
			text_add_char(ret_text, fine ? (char)toupper(c) : '_');
	}
}

bool
log_walk_next(struct log_walk *walk, const struct log_context *context)
{
	text_clear(&walk->name);
	text_clear(&walk->value);
	if (walk->at < context->field_count && walk->at < LOG_FIELDS) {
		const struct log_field *field = &context->fields[walk->at++];

		add_field_name(field, &walk->name);
		log_add_message(field->value, field->value_length, true,
		    LOG_FIELD_VALUE, &walk->value);
		walk->used += walk->name.length + walk->value.length +
			      json_extra(&walk->value);
		if (walk->used <= LOG_FIELDS_BYTES)
			return true;
	}
	text_free(&walk->name);
	text_free(&walk->value);
	return false;
}

/* The message's own room in a line. */
static size_t
message_limit(const struct log_context *context)
{
	size_t limit = LOG_LINE_LIMIT - BESIDE;

	return context->field_count > 0 ? limit - LOG_FIELDS_BYTES : limit;
}

static void
add_fields(const struct log_context *context, struct text *ret_line)
{
	struct log_walk walk = {0};

	while (log_walk_next(&walk, context)) {
		text_addf(ret_line, " %s=", text_string(&walk.name));
		text_add_escaped(ret_line, walk.value.data, walk.value.length);
	}
}

void
log_line_text(const struct log_record *record, struct text *ret_line)
{
	log_add_time(record->wall_us, ret_line);
	text_addf(ret_line, " %s %s", log_level_name(record->level),
	    record->role[0] == '\0' ? "musterd" : record->role);
	if (record->worker >= 0)
		text_addf(ret_line, "[%d]", record->worker);
	text_add_char(ret_line, ' ');
	log_add_message(record->message, record->length, false,
	    message_limit(record->context), ret_line);
	log_add_context(record->context, ret_line);
	add_fields(record->context, ret_line);
	text_add_char(ret_line, '\n');
}

static void
add_json_text(const char *key, const char *bytes, size_t length, size_t limit,
    struct text *ret_line)
{
	struct text clean = TEXT_EMPTY;
	size_t extra;

	log_add_message(bytes, length, true, limit, &clean);
	extra = json_extra(&clean);
	cut(&clean, extra < limit / 2 ? limit - extra : limit / 2);
	text_addf(ret_line, ",\"%s\":", key);
	text_add_json_string(ret_line, text_string(&clean), clean.length);
	text_free(&clean);
}

static void
add_json_name(const char *key, const char *value, struct text *ret_line)
{
	if (value != NULL)
		add_json_text(key, value, strlen(value), NAME_LIMIT, ret_line);
}

static void
add_json_fields(const struct log_context *context, struct text *ret_line)
{
	struct log_walk walk = {0};

	while (log_walk_next(&walk, context))
		add_json_text(text_string(&walk.name), walk.value.data,
		    walk.value.length, LOG_FIELD_VALUE, ret_line);
}

/* Ids are strings: many readers' numbers are doubles. */
static void
add_json_id(const char *key, int64_t value, struct text *ret_line)
{
	if (value != 0)
		text_addf(ret_line, ",\"%s\":\"%lld\"", key, (long long)value);
}

void
log_line_json(const struct log_record *record, struct text *ret_line)
{
	const struct log_context *context = record->context;

	text_add_string(ret_line, "{\"time\":\"");
	log_add_time(record->wall_us, ret_line);
	text_addf(ret_line, "\",\"level\":\"%s\",\"role\":\"%s\"",
	    log_level_name(record->level), record->role);
	if (record->worker >= 0)
		text_addf(ret_line, ",\"worker\":%d", record->worker);
	add_json_text("message", record->message, record->length,
	    message_limit(context), ret_line);
	add_json_id("task", context->task, ret_line);
	add_json_id("flow", context->flow, ret_line);
	add_json_name("kind", context->kind, ret_line);
	add_json_name("queue", context->queue, ret_line);
	if (context->attempt != 0)
		text_addf(ret_line, ",\"attempt\":%d", context->attempt);
	add_json_name("trace_id", context->trace_id, ret_line);
	add_json_name("message_id", record->kind_id, ret_line);
	add_json_fields(context, ret_line);
	text_add_string(ret_line, "}\n");
}
