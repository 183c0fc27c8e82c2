/* http: what a server answers, and what that means for the task. */
#ifndef DAEMON_HANDLERS_HTTP_ANSWER_H
#define DAEMON_HANDLERS_HTTP_ANSWER_H

#include <curl/curl.h>
#include <stdbool.h>

#include "common/text.h"
#include "daemon/handlers/handler.h"
#include "daemon/handlers/http_head.h"
#include "daemon/handlers/http_headers.h"

enum {
	HTTP_ERROR_BYTES = 4 << 10,    /* of a body that are kept as error */
	HTTP_SKIPPED_BYTES = 64 << 10, /* read for the connection's sake */
	HTTP_HEADER_BYTES = 256 << 10, /* all of an answer's headers */
};

struct http_answer {
	size_t limit; /* of a result */
	struct http_head head;
	struct text body;
	size_t body_bytes; /* that came */
	bool too_large;	   /* a result beyond the limit */
	bool cut;	   /* enough of an error was read */
};

void http_answer_clear(struct http_answer *answer); /* for the next one */
void http_answer_free(struct http_answer *answer);

/* What came: a line of its head, bytes of its body. False: there was enough of
 * it, whatever comes. */
bool http_answer_line(
    struct http_answer *answer, const char *line, size_t length);
bool http_answer_bytes(
    struct http_answer *answer, const char *bytes, size_t size);

/* How far it has come, for people. */
const char *http_answer_stage(const struct http_answer *answer);

/* Lets libcurl fill it. */
void http_answer_attach(struct http_answer *answer, CURL *easy);

/* Whether a transfer that ended with `code` has brought what the task's end
 * follows from. */
bool http_answer_is_enough(const struct http_answer *answer, CURLcode code);

/* How a transfer ended. */
struct http_end {
	CURLcode code;
	const char *broken; /* what is said of one that failed; may be empty */
	CURLU *url;	    /* that was asked for */
	const struct http_headers *headers; /* that were sent */
};

/*
 * What that means for the task. Result and error point into `answer` and
 * `text`; secrets are masked in the error.
 */
struct outcome http_answer_judge(
    struct http_answer *answer, const struct http_end *end, struct text *text);

#endif
