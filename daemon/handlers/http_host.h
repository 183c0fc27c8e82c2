/*
 * http: the server's name and its addresses. Looked up off the loop, once for
 * all tasks that wait for it, and again when it has got old or failed.
 */
#ifndef DAEMON_HANDLERS_HTTP_HOST_H
#define DAEMON_HANDLERS_HTTP_HOST_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct http_host;

/* A look-up has ended; `error` (valid during the call) is NULL when the
 * addresses are known now. Must not free the host. */
typedef void http_host_found_cb(const char *error, void *argument);

/* `url` is one that the configuration took; a look-up may take `limit_ms`. */
struct http_host *http_host_new(struct event_base *base, const char *url,
    int64_t limit_ms, http_host_found_cb *on_found, void *argument);
struct http_host *http_host_free(struct http_host *host); /* NULL ok */

/* As it stands in the URL, without the port. */
const char *http_host_name(const struct http_host *host);

/* What a request begins with ("/path?query"), and its Host. */
const char *http_host_target(const struct http_host *host);
const char *http_host_authority(const struct http_host *host);

/* For CURLOPT_CURLU, so that it is taken apart once: the host's. */
CURLU *http_host_url(const struct http_host *host);

/* Whether the addresses are known and fresh, or none are needed. */
bool http_host_is_known(const struct http_host *host);

/* Looks the name up, unless that goes on already. on_found comes later. */
void http_host_find(struct http_host *host);

/* What CURLOPT_RESOLVE is to be told; NULL: the name is an address. Valid
 * until the next look-up ends. */
const char *http_host_entry(const struct http_host *host);

/* They did not serve: the next task has them looked up again. */
void http_host_doubt(struct http_host *host);

#endif
