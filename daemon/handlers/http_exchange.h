/* http: a request and what came of it, whatever carries it. */
#ifndef DAEMON_HANDLERS_HTTP_EXCHANGE_H
#define DAEMON_HANDLERS_HTTP_EXCHANGE_H

#include <curl/curl.h>

#include "common/text.h"
#include "daemon/handlers/handler.h"
#include "daemon/handlers/http_answer.h"
#include "daemon/handlers/http_loop.h"

#define HTTP_USER_AGENT "musterd"
#define HTTP_CONTENT_TYPE "Content-Type: application/json"

struct http_exchange {
	void *owner;
	struct http_answer answer;
	struct http_opening opening;  /* of its connection */
	char detail[CURL_ERROR_SIZE]; /* words for a failure */
	char trace_id[33];	      /* of this attempt */
};

/* Nothing of a former one is left; draws the trace. */
void http_exchange_begin(struct http_exchange *exchange, void *owner);
/* Lets go of what came. */
void http_exchange_clear(struct http_exchange *exchange);

enum { HTTP_TASK_LINES = 7 };
/* Adds the lines of the head that are the task's own, each with its end: so
 * many, or one less in no flow. */
void http_exchange_lines(const struct http_exchange *exchange,
    const struct task *task, const char *cluster, struct text *head);
/* Adds the body. */
void http_exchange_body(const struct task *task, struct text *body);

#endif
