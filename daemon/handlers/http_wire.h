/*
 * http: an answer of HTTP/1 from the bytes of its connection. It trusts
 * nothing: what cannot be understood breaks the answer.
 *
 *   HEAD ──→ LENGTH, CHUNKS or CLOSE ──→ DONE
 *     └────────────────┴───────────────→ BROKEN
 */
#ifndef DAEMON_HANDLERS_HTTP_WIRE_H
#define DAEMON_HANDLERS_HTTP_WIRE_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/text.h"

struct http_answer;

enum http_wire_state {
	HTTP_WIRE_HEAD,
	HTTP_WIRE_LENGTH,  /* a body of `left` bytes more */
	HTTP_WIRE_SIZE,	   /* of the next chunk */
	HTTP_WIRE_CHUNK,   /* `left` bytes more of it */
	HTTP_WIRE_GAP,	   /* the end of its line */
	HTTP_WIRE_TRAILER, /* lines after the last one */
	HTTP_WIRE_CLOSE,   /* a body that ends with the connection */
	HTTP_WIRE_DONE,
	HTTP_WIRE_BROKEN,
};

/* Zeroed at the start. */
struct http_wire {
	enum http_wire_state state;
	struct text line; /* one that has begun */
	int64_t left;
	bool any;      /* a byte came */
	bool keeps;    /* DONE: the connection can be used again */
	CURLcode code; /* DONE: CURLE_OK; BROKEN: why, and in words */
	char words[80];
};

/* Takes bytes in, and gives the answer its head and body. Returns how many
 * were taken: fewer only in DONE and BROKEN. */
size_t http_wire_take(struct http_wire *wire, struct http_answer *answer,
    const char *bytes, size_t size);
/* The server has closed: DONE or BROKEN now. */
void http_wire_end(struct http_wire *wire);

void http_wire_clear(struct http_wire *wire); /* for the next answer */
void http_wire_free(struct http_wire *wire);

#endif
