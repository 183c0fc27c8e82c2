/*
 * http: libcurl's multi interface on the event loop. It owns the connections,
 * which are kept for the next transfer.
 */
#ifndef DAEMON_HANDLERS_HTTP_LOOP_H
#define DAEMON_HANDLERS_HTTP_LOOP_H

#include <curl/curl.h>

struct event_base;
struct http_loop;

/* A transfer has ended and was removed; never called from within a call of
 * this module. May start and stop others, but not free the loop. */
typedef void http_loop_ended_cb(CURL *easy, CURLcode code, void *argument);

struct http_loop *http_loop_new(
    struct event_base *base, http_loop_ended_cb *on_ended, void *argument);
/* No transfer may be left. NULL ok; returns NULL. */
struct http_loop *http_loop_free(struct http_loop *loop);

/* Once, before a handle is started: it must be started on this loop only. */
void http_loop_prepare(struct http_loop *loop, CURL *easy);
/* CURLOPT_OPENSOCKETFUNCTION has made a socket. */
void http_loop_opened(struct http_loop *loop, curl_socket_t socket);

void http_loop_start(struct http_loop *loop, CURL *easy);
/* Has it read what libcurl may hold of it already. */
void http_loop_nudge(struct http_loop *loop, CURL *easy);
/* Ends it at once; on_ended does not come for it. */
void http_loop_stop(struct http_loop *loop, CURL *easy);

#endif
