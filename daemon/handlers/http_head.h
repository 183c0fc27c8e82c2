/*
 * http: the head of an answer, line by line as they come: what the outcome and
 * the connection depend on. After one of 1xx comes another.
 */
#ifndef DAEMON_HANDLERS_HTTP_HEAD_H
#define DAEMON_HANDLERS_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/text.h"

/* Zeroed at the start. */
struct http_head {
	bool began;  /* it has a status line, and */
	bool ended;  /* an empty line: what follows are trailers */
	int version; /* 10 or 11, of HTTP/1; else 20 */
	long status; /* 100 to 999; 0: none came */
	bool has_length;
	int64_t length; /* Content-Length */
	bool chunked;
	bool close, keep;  /* Connection says so */
	const char *wrong; /* what cannot be trusted (static); NULL: nothing */
	struct text location, retry_after; /* empty: none */
	size_t bytes; /* of all lines, also those of former heads */
};

/* Takes in a line without or with its end. */
void http_head_line(struct http_head *head, const char *line, size_t length);
void http_head_free(struct http_head *head); /* and resets */

#endif
