/* JSON written straight into a text: commas are put where they belong. */
#ifndef CTL_JSON_H
#define CTL_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "common/text.h"

struct json {
	struct text text;
	bool comma; /* before the next value */
};

#define JSON_EMPTY ((struct json){0})

void json_begin(struct json *json, char bracket); /* '{' or '[' */
void json_end(struct json *json, char bracket);
void json_add_key(struct json *json, const char *key);
void json_add_string(struct json *json, const char *string); /* NULL: null */
void json_add_number(struct json *json, int64_t number);
void json_add_bool(struct json *json, bool value);
/* What is JSON already; NULL: null. */
void json_add_raw(struct json *json, const char *text);

/* Prints it as one line and frees it. */
void json_print(struct json *json);

#endif
