/*
 * http: how requests get to their server and answers back. There are two ways:
 * libcurl, where TLS is spoken, and connections of our own, where it is not.
 */
#ifndef DAEMON_HANDLERS_HTTP_CARRIER_H
#define DAEMON_HANDLERS_HTTP_CARRIER_H

#include <curl/curl.h>

#include "daemon/handlers/handler.h"

struct http_carrier;
struct http_exchange;
struct http_headers;
struct http_host;

/* An exchange has ended; never called from within a call of the carrier. May
 * start and stop others, and is to release this one. */
typedef void http_ended_cb(
    struct http_exchange *exchange, CURLcode code, void *argument);

/* What a carrier needs to know; outlives it. */
struct http_service {
	const struct handler_host *host;
	const struct handler_config *config;
	struct http_headers *headers; /* read before anything is started */
	struct http_host *server;     /* known when something is started */
	http_ended_cb *on_ended;
	void *argument;
};

struct http_carrier_ops {
	struct http_carrier *(*open)(const struct http_service *service);
	/* Sends the task's request; `owner` is noted in the exchange, and
	 * nothing of `task` is needed later on. */
	struct http_exchange *(*start)(
	    struct http_carrier *carrier, const struct task *task, void *owner);
	/* What it is doing, for people. */
	const char *(*stage)(const struct http_exchange *exchange);
	/* Ends it at once; on_ended does not come for it. */
	void (*stop)(struct http_exchange *exchange);
	/* After it ended or was stopped: nothing of it is needed. */
	void (*release)(struct http_exchange *exchange);
	/* No exchange may be left. */
	void (*close)(struct http_carrier *carrier);
};

extern const struct http_carrier_ops http_by_libcurl, http_by_lines;

#endif
