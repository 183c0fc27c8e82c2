/*
 * The outermost layer of JSON by byte range: envelopes are taken apart, what
 * they carry is handed on as it was written.
 */
#ifndef COMMON_JSON_MEMBER_H
#define COMMON_JSON_MEMBER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/text.h"

/* One JSON value within a text that belongs to somebody else. */
struct json_value {
	const char *at;
	size_t length;
};

/* The bytes as one value; false: they are no JSON that jsonb takes, or not
 * valid UTF-8. */
bool json_value_of(
    const char *bytes, size_t length, struct json_value *ret_value);

/* The next member of an object: `rest` is the object at first. The name is as
 * it is written between its quotes. False: there is none, or it is no object.
 */
bool json_next_member(struct json_value *rest, struct json_value *ret_name,
    struct json_value *ret_value);

/* The member of an object; the first of that name. Names with escapes in them
 * are not found. False: there is none, or it is no object. */
bool json_member(
    struct json_value object, const char *name, struct json_value *ret_value);

/* Adds what a string says; false: it is none. */
bool json_value_string(struct json_value value, struct text *text);
/* False: it is no number, or larger than a double. */
bool json_value_double(struct json_value value, double *ret_number);

#endif
