/*
 * http: libcurl's multi interface on the event loop. It owns the connections,
 * which are kept for the next transfer.
 */
#ifndef DAEMON_HANDLERS_HTTP_LOOP_H
#define DAEMON_HANDLERS_HTTP_LOOP_H

#include <curl/curl.h>
#include <stdbool.h>

#include "common/http_address.h"

struct event_base;
struct http_loop;

/* A transfer has ended and was removed; never called from within a call of
 * this module. May start and stop others, but not free the loop. `socket`: the
 * connection, from now on the callee's; -1: none. */
typedef void http_loop_ended_cb(
    CURL *easy, CURLcode code, int socket, void *argument);

/* `connects`: what is started makes a connection and nothing more. */
struct http_loop *http_loop_new(struct event_base *base, bool connects,
    http_loop_ended_cb *on_ended, void *argument);
/* No transfer may be left. NULL ok; returns NULL. */
struct http_loop *http_loop_free(struct http_loop *loop);

/* Where connections may go. */
struct http_opening {
	struct http_loop *loop;
	bool allow_private;
	char refused[HTTP_ADDRESS_TEXT]; /* a private address; "": none */
};

/* Once, before a handle is started: it must be started on this loop only.
 * `opening` is kept with it. */
void http_loop_prepare(
    struct http_loop *loop, CURL *easy, struct http_opening *opening);

void http_loop_start(struct http_loop *loop, CURL *easy);
/* Has it read what libcurl may hold of it already. */
void http_loop_nudge(struct http_loop *loop, CURL *easy);
/* Ends it at once; on_ended does not come for it. */
void http_loop_stop(struct http_loop *loop, CURL *easy);

#endif
