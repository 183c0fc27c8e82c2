/*
 * A growing string of bytes, always followed by a NUL. Out of memory aborts.
 */
#ifndef COMMON_TEXT_H
#define COMMON_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
	char *data; /* owned; NULL while empty and never written to */
	size_t length, capacity;
};

#define TEXT_EMPTY ((struct text){0})

void text_free(struct text *text);  /* frees and resets; takes an empty one */
void text_clear(struct text *text); /* length 0, memory kept */
char *text_steal(
    struct text *text); /* the caller owns the string, never NULL */
const char *text_string(const struct text *text); /* "" when empty */

void text_add(struct text *text, const void *bytes, size_t length);
void text_add_string(struct text *text, const char *string);
void text_add_char(struct text *text, char c);
void text_add_int(struct text *text, int64_t number);
void text_addf(struct text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A JSON string with its quotes. `bytes` must be valid UTF-8. */
void text_add_json_string(struct text *text, const char *bytes, size_t length);

/* An element of a PostgreSQL array literal, quoted and escaped; NULL bytes
 * pointer adds the word NULL. No braces, no comma. */
void text_add_array_item(struct text *text, const char *bytes, size_t length);

/*
 * Adds foreign bytes as valid UTF-8: invalid sequences, surrogates and NUL
 * become U+FFFD, so that PostgreSQL takes it as text. At most `limit` bytes
 * are added, cut at a character.
 */
void text_add_utf8(
    struct text *text, const char *bytes, size_t length, size_t limit);

/* Adds foreign bytes for one log line: control characters as \n, \t, \x1b. */
void text_add_escaped(struct text *text, const char *bytes, size_t length);

/* Whether the bytes are valid UTF-8 without NUL. */
bool utf8_is_valid(const char *bytes, size_t length);

#endif
