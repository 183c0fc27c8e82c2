/*
 * http: libcurl's sockets on the event loop, by their numbers. libcurl lets go
 * of a socket after each transfer and asks for it again with the next one; one
 * that was only read from stays registered in between, so that a request costs
 * the kernel no change.
 */
#ifndef DAEMON_HANDLERS_HTTP_WATCH_H
#define DAEMON_HANDLERS_HTTP_WATCH_H

#include <stdbool.h>

struct event_base;
struct http_watches;

/* `fd` can be read (`in`), written (`out`), or is broken (both). */
typedef void http_watch_ready_cb(int fd, bool in, bool out, void *argument);

struct http_watches *http_watches_new(
    struct event_base *base, http_watch_ready_cb *on_ready, void *argument);
/* Also of sockets that are open still. NULL ok; returns NULL. */
struct http_watches *http_watches_free(struct http_watches *watches);

/* What libcurl wants to hear of a socket; neither: nothing for now. */
void http_watches_want(struct http_watches *watches, int fd, bool in, bool out);

/* A socket was made. A former one of that number may have been closed without
 * a word, and libcurl may believe that it is watched: so it is, then. */
void http_watches_opened(struct http_watches *watches, int fd);
/* Before it is closed. */
void http_watches_closing(struct http_watches *watches, int fd);

#endif
