/* http: one request on libcurl: its handle, and what it sends. */
#ifndef DAEMON_HANDLERS_HTTP_REQUEST_H
#define DAEMON_HANDLERS_HTTP_REQUEST_H

#include <curl/curl.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "common/text.h"
#include "daemon/handlers/handler.h"
#include "daemon/handlers/http_carrier.h"
#include "daemon/handlers/http_exchange.h"

enum {
	HTTP_FIXED_LINES = 2,
	HTTP_OWN_LINES = HTTP_FIXED_LINES + HTTP_TASK_LINES,
};

struct http_request {
	struct http_exchange exchange;
	struct http_carrier *carrier;
	CURL *easy; /* owned; set up for one handler */
	struct curl_slist lines[HTTP_OWN_LINES]; /* those of the task point into
						    `head`; the last goes on
						    with the configured */
	struct text head, body;
	struct text entry; /* of the server's addresses */
	struct curl_slist entry_line;
	bool plain;			/* no HTTP/2 */
	int64_t moved;			/* bytes, when last looked at */
	TAILQ_ENTRY(http_request) link; /* of those under way */
};

struct http_request *http_request_of(const struct http_exchange *exchange);

/* `service` and `loop` outlive it. */
struct http_request *http_request_new(const struct http_service *service,
    struct http_carrier *carrier, struct http_loop *loop);
/* Not while it is under way. Returns NULL. */
struct http_request *http_request_free(struct http_request *request);

/* Makes it ready for a task; `plain`: over HTTP/1.1 whatever the server
 * speaks. Nothing of `task` is needed later on. */
void http_request_fill(struct http_request *request,
    const struct http_service *service, const struct task *task, bool plain);
/* The same once more, over HTTP/1.1. */
void http_request_again(struct http_request *request);

/* Bytes that went and came: what stands still keeps it. */
int64_t http_request_moved(const struct http_request *request);
/* It ended so over HTTP/2 that libcurl may have dropped the answer. */
bool http_request_was_lost(const struct http_request *request, CURLcode code);

/* Lets go of what was sent and received. */
void http_request_clear(struct http_request *request);

#endif
