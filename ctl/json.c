#include "ctl/json.h"

#include <stdio.h>
#include <string.h>

static void
separate(struct json *json)
{
	if (json->comma)
		text_add_char(&json->text, ',');
	json->comma = true;
}

void
json_begin(struct json *json, char bracket)
{
	separate(json);
	text_add_char(&json->text, bracket);
	json->comma = false;
}

void
json_end(struct json *json, char bracket)
{
	text_add_char(&json->text, bracket);
	json->comma = true;
}

void
json_add_key(struct json *json, const char *key)
{
	separate(json);
	text_add_json_string(&json->text, key, strlen(key));
	text_add_char(&json->text, ':');
	json->comma = false;
}

/* What comes from the database is UTF-8, what comes from elsewhere may be
 * anything. */
void
json_add_string(struct json *json, const char *string)
{
	struct text valid = TEXT_EMPTY;

	if (string == NULL) {
		json_add_raw(json, NULL);
		return;
	}
	separate(json);
	text_add_utf8(&valid, string, strlen(string), SIZE_MAX / 2);
	text_add_json_string(&json->text, text_string(&valid), valid.length);
	text_free(&valid);
}

void
json_add_number(struct json *json, int64_t number)
{
	separate(json);
	text_add_int(&json->text, number);
}

void
json_add_bool(struct json *json, bool value)
{
	json_add_raw(json, value ? "true" : "false");
}

void
json_add_raw(struct json *json, const char *text)
{
	separate(json);
	text_add_string(&json->text, text != NULL ? text : "null");
}

void
json_print(struct json *json)
{
	fwrite(text_string(&json->text), 1, json->text.length, stdout);
	putchar('\n');
	text_free(&json->text);
	json->comma = false;
}
