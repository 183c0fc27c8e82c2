#include "common/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for `more` bytes and the NUL. */
static void
reserve(struct text *text, size_t more)
{
	size_t wanted, capacity;

	if (__builtin_add_overflow(text->length, more, &wanted) ||
	    __builtin_add_overflow(wanted, 1, &wanted))
		abort();
	if (wanted <= text->capacity)
		return;
	capacity = text->capacity < 32 ? 64 : text->capacity * 2;
	if (capacity < wanted)
		capacity = wanted;
	text->data = realloc(text->data, capacity);
	if (text->data == NULL)
		abort();
	text->capacity = capacity;
}

void
text_free(struct text *text)
{
	free(text->data);
	*text = TEXT_EMPTY;
}

void
text_clear(struct text *text)
{
	text->length = 0;
	if (text->data != NULL)
		text->data[0] = '\0';
}

char *
text_steal(struct text *text)
{
	char *data;

	reserve(text, 0);
	data = text->data;
	data[text->length] = '\0';
	*text = TEXT_EMPTY;
	return data;
}

const char *
text_string(const struct text *text)
{
	return text->data == NULL ? "" : text->data;
}

void
text_add(struct text *text, const void *bytes, size_t length)
{
	reserve(text, length);
	if (length > 0)
		memcpy(text->data + text->length, bytes, length);
	text->length += length;
	text->data[text->length] = '\0';
}

void
text_add_string(struct text *text, const char *string)
{
	text_add(text, string, strlen(string));
}

void
text_add_char(struct text *text, char c)
{
	text_add(text, &c, 1);
}

void
text_add_int(struct text *text, int64_t number)
{
	char digits[20], *at = digits + sizeof(digits);
	uint64_t left = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;

	do {
		*--at = (char)('0' + left % 10);
		left /= 10;
	} while (left != 0);
	if (number < 0)
		*--at = '-';
	text_add(text, at, (size_t)(digits + sizeof(digits) - at));
}

__attribute__((format(printf, 2, 0))) static void
add_formatted(struct text *text, const char *format, va_list arguments)
{
	va_list again;
	int length;

	va_copy(again, arguments);
	length = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (length < 0)
		abort();
	reserve(text, (size_t)length);
	vsnprintf(
	    text->data + text->length, (size_t)length + 1, format, arguments);
	text->length += (size_t)length;
}

void
text_addf(struct text *text, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	add_formatted(text, format, arguments);
	va_end(arguments);
}

static void
add_json_escape(struct text *text, unsigned char c)
{
	static const char letters[] = "btnvfr"; /* 8 … 13; \v is no JSON */

	if (c == '"' || c == '\\') {
		text_add_char(text, '\\');
		text_add_char(text, (char)c);
	} else if (c >= 8 && c <= 13 && c != 11) {
		text_add_char(text, '\\');
		text_add_char(text, letters[c - 8]);
	} else {
		text_addf(text, "\\u%04x", c);
	}
}

void
text_add_json_string(struct text *text, const char *bytes, size_t length)
{
	size_t start = 0;

	reserve(text, length + 2);
	text_add_char(text, '"');
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)bytes[i];

		if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
			continue;
		text_add(text, bytes + start, i - start);
		add_json_escape(text, c);
		start = i + 1;
	}
	if (start < length)
		text_add(text, bytes + start, length - start);
	text_add_char(text, '"');
}

void
text_add_array_item(struct text *text, const char *bytes, size_t length)
{
	size_t start = 0;

	if (bytes == NULL) {
		text_add(text, "NULL", 4);
		return;
	}
	reserve(text, length + 2);
	text_add_char(text, '"');
	for (size_t i = 0; i < length; i++) {
		if (bytes[i] != '"' && bytes[i] != '\\')
			continue;
		text_add(text, bytes + start, i - start);
		text_add_char(text, '\\');
		start = i; /* the character itself goes with the next run */
	}
	text_add(text, bytes + start, length - start);
	text_add_char(text, '"');
}
