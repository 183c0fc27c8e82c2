#include "daemon/handlers/output_said.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/json_member.h"

static bool
is(struct json_value value, const char *word)
{
	return strlen(word) == value.length &&
	       memcmp(value.at, word, value.length) == 0;
}

static enum log_level
level_of(struct json_value value)
{
	enum log_level level = LOG_LEVEL_INFO;
	struct text name = TEXT_EMPTY;
	double number;

	if (json_value_double(value, &number))
		level = number <= LOG_LEVEL_ERROR   ? LOG_LEVEL_ERROR
			: number >= LOG_LEVEL_DEBUG ? LOG_LEVEL_DEBUG
						    : (enum log_level)number;
	else if (json_value_string(value, &name))
		(void)log_level_parse(text_string(&name), &level);
	text_free(&name);
	return level;
}

static int64_t
task_of(struct json_value value)
{
	struct text digits = TEXT_EMPTY;
	int64_t task = 0;
	char *end;

	if (json_value_string(value, &digits)) {
		errno = 0;
		task = strtoll(text_string(&digits), &end, 10);
		if (errno != 0 || *end != '\0' || task < 0)
			task = 0;
	}
	text_free(&digits);
	return task;
}

static void
add_field(
    struct output_said *said, struct json_value name, struct json_value value)
{
	struct log_field *field = &said->fields[said->count];
	struct text *string = &said->values[said->count];

	if (said->count == LOG_FIELDS || name.length == 0)
		return;
	*field = (struct log_field){.name = name.at,
	    .name_length = name.length,
	    .value = value.at,
	    .value_length = value.length};
	if (json_value_string(value, string)) {
		field->value = text_string(string);
		field->value_length = string->length;
	}
	said->count++;
}

bool
output_said_read(const char *line, size_t length, struct output_said *ret_said)
{
	struct json_value whole, said, name, value;

	*ret_said = (struct output_said){.level = LOG_LEVEL_INFO};
	if (length == 0 || line[0] != '{' ||
	    !json_value_of(line, length, &whole) ||
	    !json_member(whole, "log", &said) ||
	    !json_member(said, "message", &value) ||
	    !json_value_string(value, &ret_said->message))
		return false;
	while (json_next_member(&said, &name, &value)) {
		if (is(name, "level"))
			ret_said->level = level_of(value);
		else if (is(name, "id"))
			ret_said->task = task_of(value);
		else if (!is(name, "message"))
			add_field(ret_said, name, value);
	}
	return true;
}

void
output_said_free(struct output_said *said)
{
	for (size_t i = 0; i < said->count; i++)
		text_free(&said->values[i]);
	text_free(&said->message);
}
