#include "common/json_member.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/json_text.h"

enum { NUMBER_SIZE = 64 }; /* of a number that is read as a double */

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct json_value
trimmed(struct json_value value)
{
	while (value.length > 0 && is_space(*value.at)) {
		value.at++;
		value.length--;
	}
	while (value.length > 0 && is_space(value.at[value.length - 1]))
		value.length--;
	return value;
}

bool
json_value_of(const char *bytes, size_t length, struct json_value *ret_value)
{
	const char *why;

	if (!utf8_is_valid(bytes, length) ||
	    json_text_judge(bytes, length, &why) != JSON_TEXT_FIT)
		return false;
	*ret_value = trimmed((struct json_value){bytes, length});
	return true;
}

/* The text is known to be JSON, so each of these ends within it. */

static const char *
after_space(const char *at, const char *end)
{
	while (at < end && is_space(*at))
		at++;
	return at;
}

static const char *
after_string(const char *at, const char *end)
{
	for (at++; at < end && *at != '"'; at++)
		at += *at == '\\';
	return at < end ? at + 1 : end;
}

static const char *
after_value(const char *at, const char *end)
{
	int depth = 0;

	while (at < end) {
		if (*at == '"') {
			at = after_string(at, end);
		} else {
			if (depth == 0 && (*at == ',' || *at == '}'))
				break;
			depth += *at == '{' || *at == '[';
			depth -= *at == '}' || *at == ']';
			at++;
		}
	}
	return at;
}

bool
json_next_member(struct json_value *rest, struct json_value *ret_name,
    struct json_value *ret_value)
{
	const char *end = rest->at + rest->length, *at = rest->at;

	if (rest->length < 2 || (*at != '{' && *at != ','))
		return false;
	at = after_space(at + 1, end);
	if (*at != '"')
		return false;
	ret_name->at = at + 1;
	at = after_string(at, end);
	ret_name->length = (size_t)(at - ret_name->at) - 1;
	ret_value->at = after_space(after_space(at, end) + 1, end);
	at = after_value(ret_value->at, end);
	ret_value->length = (size_t)(at - ret_value->at);
	*ret_value = trimmed(*ret_value);
	*rest = (struct json_value){at, (size_t)(end - at)};
	return true;
}

bool
json_member(
    struct json_value object, const char *name, struct json_value *ret_value)
{
	struct json_value rest = object, key, value;
	size_t length = strlen(name);

	while (json_next_member(&rest, &key, &value)) {
		if (key.length == length && memcmp(key.at, name, length) == 0) {
			*ret_value = value;
			return true;
		}
	}
	return false;
}

static void
add_character(struct text *text, uint32_t c)
{
	if (c < 0x80) {
		text_add_char(text, (char)c);
	} else if (c < 0x800) {
		text_add_char(text, (char)(0xc0 | c >> 6));
		text_add_char(text, (char)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		text_add_char(text, (char)(0xe0 | c >> 12));
		text_add_char(text, (char)(0x80 | (c >> 6 & 0x3f)));
		text_add_char(text, (char)(0x80 | (c & 0x3f)));
	} else {
		text_add_char(text, (char)(0xf0 | c >> 18));
		text_add_char(text, (char)(0x80 | (c >> 12 & 0x3f)));
		text_add_char(text, (char)(0x80 | (c >> 6 & 0x3f)));
		text_add_char(text, (char)(0x80 | (c & 0x3f)));
	}
}

static uint32_t
hex4(const char *at)
{
	char digits[5] = {at[0], at[1], at[2], at[3], '\0'};

	return (uint32_t)strtoul(digits, NULL, 16);
}

/* What follows a backslash; gives how many bytes that were. jsonb takes no
 * lone surrogate, so the second one of a pair is there. */
static size_t
add_escape(struct text *text, const char *at)
{
	static const char letters[] = "bfnrt", controls[] = "\b\f\n\r\t";
	const char *letter = strchr(letters, *at);
	uint32_t c;

	if (*at != 'u') {
		text_add_char(
		    text, letter != NULL ? controls[letter - letters] : *at);
		return 1;
	}
	c = hex4(at + 1);
	if (c < 0xd800 || c > 0xdbff) {
		add_character(text, c);
		return 5;
	}
	add_character(
	    text, 0x10000 + ((c & 0x3ff) << 10) + (hex4(at + 7) & 0x3ff));
	return 11;
}

bool
json_value_string(struct json_value value, struct text *text)
{
	const char *at = value.at + 1, *end = value.at + value.length - 1;

	if (value.length < 2 || *value.at != '"')
		return false;
	while (at < end) {
		if (*at == '\\') {
			at += 1 + add_escape(text, at + 1);
		} else {
			text_add_char(text, *at);
			at++;
		}
	}
	return true;
}

bool
json_value_double(struct json_value value, double *ret_number)
{
	char copy[NUMBER_SIZE], *end;
	double number;

	if (value.length == 0 || value.length >= sizeof(copy) ||
	    (*value.at != '-' && (*value.at < '0' || *value.at > '9')))
		return false;
	memcpy(copy, value.at, value.length);
	copy[value.length] = '\0';
	number = strtod(copy, &end);
	if (*end != '\0' || !isfinite(number))
		return false;
	*ret_number = number;
	return true;
}
