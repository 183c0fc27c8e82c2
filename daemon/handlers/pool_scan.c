#include "daemon/handlers/pool_scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct pool_scan
pool_scan_text(const char *text, size_t size)
{
	return (struct pool_scan){.at = text, .end = text + size};
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* To the next byte that is no space; its value, 0 at the end. */
static char
peek(struct pool_scan *scan)
{
	while (scan->at < scan->end && is_space(*scan->at))
		scan->at++;
	return scan->at < scan->end ? *scan->at : '\0';
}

/* From a quote to behind the one that closes it. */
static void
skip_string(struct pool_scan *scan)
{
	const char *at = scan->at + 1, *end = scan->end;

	while (at < end && *at != '"')
		at += *at == '\\' ? 2 : 1;
	scan->at = at < end ? at + 1 : end;
}

/* From a bracket to behind the one that closes it. */
static void
skip_nested(struct pool_scan *scan)
{
	size_t depth = 0;

	while (scan->at < scan->end) {
		char c = *scan->at;

		if (c == '"') {
			skip_string(scan);
			continue;
		}
		scan->at++;
		if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && --depth == 0)
			return;
	}
}

static void
skip_word(struct pool_scan *scan)
{
	while (scan->at < scan->end && !is_space(*scan->at) &&
	       *scan->at != ',' && *scan->at != '}' && *scan->at != ']')
		scan->at++;
}

bool
pool_scan_enter(struct pool_scan *scan)
{
	if (peek(scan) != '{')
		return false;
	scan->at++;
	return true;
}

bool
pool_scan_next(struct pool_scan *scan, struct pool_span *ret_key)
{
	if (peek(scan) == ',')
		scan->at++;
	if (peek(scan) != '"') {
		scan->at += scan->at < scan->end;
		return false;
	}
	ret_key->at = scan->at + 1;
	skip_string(scan);
	ret_key->size = (size_t)(scan->at - ret_key->at) - 1;
	if (peek(scan) == ':')
		scan->at++;
	return true;
}

struct pool_span
pool_scan_value(struct pool_scan *scan)
{
	char first = peek(scan);
	struct pool_span value = {.at = scan->at};

	if (first == '"')
		skip_string(scan);
	else if (first == '{' || first == '[')
		skip_nested(scan);
	else
		skip_word(scan);
	value.size = (size_t)(scan->at - value.at);
	return value;
}

bool
pool_span_is(struct pool_span span, const char *word)
{
	return strlen(word) == span.size &&
	       memcmp(span.at, word, span.size) == 0;
}

/* Strings. */

static unsigned
hex4(const char *at)
{
	unsigned value = 0;

	for (int i = 0; i < 4; i++) {
		unsigned c = (unsigned char)at[i];

		value = value << 4 | (c <= '9' ? c - '0' : (c & 7) + 9);
	}
	return value;
}

static void
add_character(struct text *text, unsigned c)
{
	char bytes[4];
	size_t size = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

	static const unsigned char firsts[] = {0, 0, 0xc0, 0xe0, 0xf0};

	for (size_t i = size; i > 1; c >>= 6)
		bytes[--i] = (char)(0x80 | (c & 0x3f));
	bytes[0] = (char)(firsts[size] | c);
	text_add(text, bytes, size);
}

/* What stands behind "\u"; a half of a pair without the other one becomes
 * U+FFFD. How many bytes were used. */
static size_t
add_unicode(struct text *text, const char *at, const char *end)
{
	unsigned c = hex4(at), low;

	if (c >= 0xd800 && c < 0xdc00 && end - at >= 10 && at[4] == '\\' &&
	    at[5] == 'u') {
		low = hex4(at + 6);
		if (low >= 0xdc00 && low < 0xe000) {
			add_character(text,
			    0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00));
			return 10;
		}
	}
	add_character(text, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
	return 4;
}

/* What stands behind a backslash; how many bytes it takes. */
static size_t
add_escape(struct text *text, const char *at, const char *end)
{
	static const char names[] = "bfnrt", characters[] = "\b\f\n\r\t";
	const char *name = strchr(names, *at);

	if (*at == 'u' && end - at > 4)
		return 1 + add_unicode(text, at + 1, end);
	text_add_char(text, name == NULL ? *at : characters[name - names]);
	return 1;
}

bool
pool_span_string(struct pool_span span, struct text *ret_text)
{
	const char *at, *end;

	if (span.at == NULL || span.size < 2 || *span.at != '"')
		return false;
	at = span.at + 1;
	end = span.at + span.size - 1;
	while (at < end) {
		const char *escape = memchr(at, '\\', (size_t)(end - at));
		const char *plain = escape == NULL ? end : escape;

		text_add(ret_text, at, (size_t)(plain - at));
		if (plain == end)
			break;
		at = plain + 1;
		at += add_escape(ret_text, at, end);
	}
	return true;
}

bool
pool_span_number(struct pool_span span, double *ret_number)
{
	char digits[64];

	if (span.at == NULL || span.size == 0 || span.size >= sizeof(digits) ||
	    (*span.at != '-' && (*span.at < '0' || *span.at > '9')))
		return false;
	memcpy(digits, span.at, span.size);
	digits[span.size] = '\0';
	*ret_number = strtod(digits, NULL);
	return true;
}

bool
pool_span_bool(struct pool_span span, bool *ret_bool)
{
	*ret_bool = pool_span_is(span, "true");
	return *ret_bool || pool_span_is(span, "false");
}

enum { ID_DIGITS = 19 }; /* of INT64_MAX */

bool
pool_span_id(struct pool_span span, int64_t *ret_id)
{
	int64_t id = 0;

	if (span.at == NULL || span.size < 3 || span.size > 2 + ID_DIGITS ||
	    *span.at != '"')
		return false;
	for (size_t i = 1; i + 1 < span.size; i++) {
		if (span.at[i] < '0' || span.at[i] > '9')
			return false;
		if (__builtin_mul_overflow(id, 10, &id) ||
		    __builtin_add_overflow(id, span.at[i] - '0', &id))
			return false;
	}
	*ret_id = id;
	return id > 0;
}
