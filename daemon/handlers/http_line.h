/*
 * http: a connection without TLS, with one request at a time on it. libcurl
 * makes the connection; the bytes on it are ours.
 *
 *   CONNECTING ──→ BUSY ──→ IDLE ──→ (closed by the server: lost)
 *       ↑ └─────────│─────────↑ └──→ BUSY …
 *       └───────────┘ it had died while idle: once more, on a new one
 */
#ifndef DAEMON_HANDLERS_HTTP_LINE_H
#define DAEMON_HANDLERS_HTTP_LINE_H

#include <curl/curl.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/text.h"
#include "daemon/handlers/http_exchange.h"
#include "daemon/handlers/http_wire.h"

struct event;
struct http_line;
struct http_service;

/* What lines share, and whom they tell. */
struct http_line_host {
	const struct http_service *service;
	struct http_loop *loop; /* that connects */
	/* Its exchange is over, and it IDLE; may free it. Never called from
	 * within http_line_start. */
	void (*on_ended)(struct http_line *line, CURLcode code, void *argument);
	/* An IDLE one is of no more use: to be freed. */
	void (*on_lost)(struct http_line *line, void *argument);
	void *argument;
};

enum http_line_state {
	HTTP_LINE_CONNECTING,
	HTTP_LINE_BUSY,
	HTTP_LINE_IDLE,
};

struct http_line {
	struct http_exchange exchange;
	const struct http_line_host *host;
	enum http_line_state state;
	CURL *easy;			   /* CONNECTING */
	struct curl_slist *addresses;	   /* for it; NULL: none needed */
	int fd;				   /* -1: not connected */
	struct event *readable, *writable; /* of fd; NULL: none yet */
	struct text request;		   /* head and body */
	size_t sent;			   /* of it */
	bool used;			   /* it has carried an answer */
	bool deaf;			   /* the server takes no more of it */
	struct http_wire wire;
	struct mono idle_since;
	TAILQ_ENTRY(http_line) link; /* the owner's, while it is IDLE */
};

struct http_line *http_line_new(const struct http_line_host *host);
struct http_line *http_line_free(struct http_line *line); /* returns NULL */
struct http_line *http_line_of(const struct http_exchange *exchange);

/* Sends what stands in `request`, of an IDLE one; connects before if need be.
 */
void http_line_start(struct http_line *line);
/* Closes it; on_ended does not come. */
void http_line_stop(struct http_line *line);

/* For http_loop_new of `host->loop`; its argument is the host. */
void http_line_connected(CURL *easy, CURLcode code, int fd, void *host);

#endif
