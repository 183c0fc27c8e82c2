/* http: what a server answers, and what that means for the task. */
#ifndef DAEMON_HANDLERS_HTTP_ANSWER_H
#define DAEMON_HANDLERS_HTTP_ANSWER_H

#include <curl/curl.h>
#include <stdbool.h>

#include "common/text.h"
#include "daemon/handlers/handler.h"
#include "daemon/handlers/http_headers.h"

enum {
	HTTP_ERROR_BYTES = 4 << 10,    /* of a body that are kept as error */
	HTTP_SKIPPED_BYTES = 64 << 10, /* read for the connection's sake */
	HTTP_HEADER_BYTES = 256 << 10, /* all of an answer's headers */
};

struct http_answer {
	CURL *easy;
	size_t limit; /* of a result */
	struct text body;
	size_t body_bytes, header_bytes; /* that came */
	bool too_large;			 /* a result beyond the limit */
	bool cut;			 /* enough of an error was read */
};

/* Lets libcurl fill it; `easy` is set up for good. */
void http_answer_attach(struct http_answer *answer, CURL *easy, size_t limit);
void http_answer_clear(struct http_answer *answer);
void http_answer_free(struct http_answer *answer);

/* The status; 0: none came. */
long http_answer_status(const struct http_answer *answer);

/* Whether a transfer that ended with `code` has brought what the task's end
 * follows from. */
bool http_answer_is_enough(const struct http_answer *answer, CURLcode code);

/*
 * How the task ended. `broken` is what libcurl says of a transfer that failed
 * (`code`), and may be empty. Result and error point into `answer` and
 * `text`; secrets are masked in the error.
 */
struct outcome http_answer_judge(struct http_answer *answer, CURLcode code,
    const char *broken, const struct http_headers *headers, struct text *text);

#endif
