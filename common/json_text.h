/* JSON as text: payloads and results are handed on as they were written. */
#ifndef COMMON_JSON_TEXT_H
#define COMMON_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Whether the bytes, valid UTF-8, are one JSON value (RFC 8259), with white
 * space around it or not. Numbers of any size and \u escapes of any value
 * pass: whether PostgreSQL can keep them is for PostgreSQL to say.
 */
bool json_text_is_valid(const char *bytes, size_t length);

#endif
