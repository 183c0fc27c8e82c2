/*
 * Finds the members of a JSON object in text that is known to be valid, each
 * byte looked at once: values are byte ranges of the text, nothing is built.
 *
 *	struct pool_scan scan = pool_scan_text(text, size);
 *	if (pool_scan_enter(&scan))
 *		while (pool_scan_next(&scan, &key))
 *			… pool_scan_value(&scan) or pool_scan_enter(&scan)
 *
 * Where an object was entered as a value, the outer one goes on once the loop
 * over the inner one has ended.
 */
#ifndef DAEMON_HANDLERS_POOL_SCAN_H
#define DAEMON_HANDLERS_POOL_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/text.h"

/* Bytes of the text. */
struct pool_span {
	const char *at; /* NULL: none */
	size_t size;
};

struct pool_scan {
	const char *at, *end;
};

struct pool_scan pool_scan_text(const char *text, size_t size);

/* Into the object that stands here; false (nothing is moved): no object. */
bool pool_scan_enter(struct pool_scan *scan);
/* The next key, as it is written between its quotes; its value must be taken
 * by one of the others. False: the object has ended. */
bool pool_scan_next(struct pool_scan *scan, struct pool_span *ret_key);
/* The value that stands here, without space around it. */
struct pool_span pool_scan_value(struct pool_scan *scan);

bool pool_span_is(struct pool_span span, const char *word);

/* Values by type; false: it is of another one. */
bool pool_span_string(struct pool_span span, struct text *ret_text);
bool pool_span_number(struct pool_span span, double *ret_number);
bool pool_span_bool(struct pool_span span, bool *ret_bool);
/* A string of digits, a whole number above 0. */
bool pool_span_id(struct pool_span span, int64_t *ret_id);

#endif
