/* http: one request: libcurl's handle for it, what is sent, and what came. */
#ifndef DAEMON_HANDLERS_HTTP_REQUEST_H
#define DAEMON_HANDLERS_HTTP_REQUEST_H

#include <curl/curl.h>
#include <stdbool.h>

#include "common/http_address.h"
#include "common/text.h"
#include "daemon/handlers/handler.h"
#include "daemon/handlers/http_answer.h"

struct http_loop;

enum {
	HTTP_OWN_LINES = 8,
};

struct http_request {
	CURL *easy; /* owned; set up for one handler */
	struct http_loop *loop;
	struct http_answer answer;
	struct curl_slist lines[HTTP_OWN_LINES]; /* into `head`; the last goes
						    on with the configured */
	struct text head, body;
	struct text entry; /* of the server's addresses */
	struct curl_slist entry_line;
	bool allow_private;
	bool plain;			 /* no HTTP/2 */
	char refused[HTTP_ADDRESS_TEXT]; /* a private address; "": none */
	char detail[CURL_ERROR_SIZE];	 /* libcurl's words for a failure */
	char trace_id[33];		 /* of this attempt */
};

/* All are those of the handler, and outlive it. */
struct http_request *http_request_new(const struct handler_host *host,
    const struct handler_config *config, CURLU *url, struct http_loop *loop);
/* Not while it is under way. Returns NULL. */
struct http_request *http_request_free(struct http_request *request);

/* Makes it ready for a task: `entry` as http_host_entry says; `plain`: over
 * HTTP/1.1 whatever the server speaks. `headers` must outlive the transfer;
 * nothing of `task` is needed later on. */
void http_request_fill(struct http_request *request, const struct task *task,
    const char *cluster, const struct http_headers *headers, const char *entry,
    bool plain);
/* The same once more, over HTTP/1.1. */
void http_request_again(struct http_request *request);

/* Bytes that went and came: what stands still keeps it. */
int64_t http_request_moved(const struct http_request *request);
/* It ended so over HTTP/2 that libcurl may have dropped the answer. */
bool http_request_was_lost(const struct http_request *request, CURLcode code);

/* Lets go of what was sent and received. */
void http_request_clear(struct http_request *request);

#endif
