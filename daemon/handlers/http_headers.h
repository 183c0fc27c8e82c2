/*
 * http: the headers that the configuration names. Secrets are read from their
 * files once, when the handler opens, so a reload reads them anew.
 */
#ifndef DAEMON_HANDLERS_HTTP_HEADERS_H
#define DAEMON_HANDLERS_HTTP_HEADERS_H

#include <curl/curl.h>
#include <stdbool.h>

#include "common/config.h"
#include "common/text.h"

struct http_headers;

/* `config` must outlive it. Reads nothing yet. */
struct http_headers *http_headers_new(const struct handler_config *config);
/* Wipes the secrets. NULL ok; returns NULL. */
struct http_headers *http_headers_free(struct http_headers *headers);

/* Reads what has not been read. False: a file cannot be read, or does not hold
 * a header's text; `error` says which and why, never what it holds. */
bool http_headers_read(struct http_headers *headers, struct error *error);

/* The lines, once they were read; NULL: none. Theirs to keep. */
struct curl_slist *http_headers_lines(const struct http_headers *headers);

/* Whether one of them has that name. */
bool http_headers_name(const struct http_headers *headers, const char *name);
/* Adds them as they are sent, each with its end. */
void http_headers_add(const struct http_headers *headers, struct text *text);

/* Adds foreign bytes with each secret in them replaced by ***. */
void http_headers_mask(const struct http_headers *headers, const char *bytes,
    size_t length, struct text *ret_text);

#endif
