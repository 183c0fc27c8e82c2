#include "daemon/handlers/http_wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/handlers/http_answer.h"

enum {
	SIZE_DIGITS = 15,     /* of a chunk's size, in hex */
	SIZE_LINE = 16 << 10, /* of its line, with extensions */
};

void
http_wire_clear(struct http_wire *wire)
{
	struct text line = wire->line;

	text_clear(&line);
	*wire = (struct http_wire){.line = line};
}

void
http_wire_free(struct http_wire *wire)
{
	text_free(&wire->line);
}

static void
fail(struct http_wire *wire, CURLcode code, const char *words)
{
	wire->state = HTTP_WIRE_BROKEN;
	wire->code = code;
	snprintf(wire->words, sizeof(wire->words), "%s", words);
}

static void
done(struct http_wire *wire)
{
	wire->state = HTTP_WIRE_DONE;
	wire->code = CURLE_OK;
}

/* The head ended: what follows, by RFC 9112, 6.3. */
static void
begin_body(struct http_wire *wire, const struct http_head *head)
{
	wire->keeps = head->version == 11 ? !head->close : head->keep;
	if (head->wrong != NULL) {
		fail(wire, CURLE_WEIRD_SERVER_REPLY, head->wrong);
	} else if (head->status == 101) {
		fail(wire, CURLE_WEIRD_SERVER_REPLY,
		    "another protocol, which was not asked for");
	} else if (head->status < 200) {
		wire->state = HTTP_WIRE_HEAD; /* the answer is to come */
	} else if (head->status == 204 || head->status == 304) {
		done(wire);
	} else if (head->chunked) {
		wire->keeps = wire->keeps && !head->has_length;
		wire->state = HTTP_WIRE_SIZE;
	} else if (head->has_length) {
		wire->left = head->length;
		wire->state = HTTP_WIRE_LENGTH;
		if (wire->left == 0)
			done(wire);
	} else {
		wire->keeps = false;
		wire->state = HTTP_WIRE_CLOSE;
	}
}

static void
take_head_line(struct http_wire *wire, struct http_answer *answer,
    const char *line, size_t length)
{
	bool first = !answer->head.began || answer->head.ended;

	if (first && (length < 5 || memcmp(line, "HTTP/", 5) != 0)) {
		fail(wire, CURLE_UNSUPPORTED_PROTOCOL,
		    "Received HTTP/0.9 when not allowed");
		return;
	}
	if (!http_answer_line(answer, line, length)) {
		fail(wire, CURLE_WRITE_ERROR, "");
		return;
	}
	if (first && answer->head.wrong == NULL && answer->head.version > 11)
		fail(wire, CURLE_UNSUPPORTED_PROTOCOL,
		    "Unsupported HTTP version in response");
	else if (answer->head.ended)
		begin_body(wire, &answer->head);
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "1f; extension". */
static void
take_size(struct http_wire *wire, const char *line, size_t length)
{
	size_t digits = 0;

	wire->left = 0;
	while (digits < length && hex_digit(line[digits]) >= 0 &&
	       digits <= SIZE_DIGITS)
		wire->left = wire->left * 16 + hex_digit(line[digits++]);
	if (digits == 0 || digits > SIZE_DIGITS ||
	    (digits < length && strchr("; \t\r\n", line[digits]) == NULL))
		fail(wire, CURLE_RECV_ERROR, "a chunk without its size");
	else
		wire->state =
		    wire->left == 0 ? HTTP_WIRE_TRAILER : HTTP_WIRE_CHUNK;
}

static bool
is_empty_line(const char *line, size_t length)
{
	return length == 1 || (length == 2 && line[0] == '\r');
}

/* With its end. */
static void
take_line(struct http_wire *wire, struct http_answer *answer, const char *line,
    size_t length)
{
	switch (wire->state) {
	case HTTP_WIRE_SIZE:
		take_size(wire, line, length);
		break;
	case HTTP_WIRE_GAP:
		wire->state = HTTP_WIRE_SIZE;
		if (!is_empty_line(line, length))
			fail(wire, CURLE_RECV_ERROR, "a chunk beyond its size");
		break;
	case HTTP_WIRE_TRAILER:
		if (is_empty_line(line, length))
			done(wire);
		else if (!http_answer_line(answer, line, length))
			fail(wire, CURLE_WRITE_ERROR, "");
		break;
	default:
		take_head_line(wire, answer, line, length);
		break;
	}
}

/* A line that has begun: how long it may get, and that it may be one. */
static void
judge_begun(struct http_wire *wire, struct http_answer *answer)
{
	bool head =
	    wire->state == HTTP_WIRE_HEAD || wire->state == HTTP_WIRE_TRAILER;
	size_t length = wire->line.length;

	if (wire->state == HTTP_WIRE_HEAD && !answer->head.began &&
	    memcmp(wire->line.data, "HTTP/", length < 5 ? length : 5) != 0)
		fail(wire, CURLE_UNSUPPORTED_PROTOCOL,
		    "Received HTTP/0.9 when not allowed");
	else if (head && answer->head.bytes + length > HTTP_HEADER_BYTES &&
		 !http_answer_line(answer, wire->line.data, length))
		fail(wire, CURLE_WRITE_ERROR, "");
	else if (!head && length > SIZE_LINE)
		fail(wire, CURLE_RECV_ERROR, "a chunk without its size");
}

static size_t
take_lines(struct http_wire *wire, struct http_answer *answer,
    const char *bytes, size_t size)
{
	const char *end = memchr(bytes, '\n', size);
	size_t length = end == NULL ? size : (size_t)(end - bytes) + 1;

	if (end != NULL && wire->line.length == 0) {
		take_line(wire, answer, bytes, length);
		return length;
	}
	text_add(&wire->line, bytes, length);
	if (end == NULL) {
		judge_begun(wire, answer);
	} else {
		take_line(wire, answer, wire->line.data, wire->line.length);
		text_clear(&wire->line);
	}
	return length;
}

static size_t
take_body(struct http_wire *wire, struct http_answer *answer, const char *bytes,
    size_t size)
{
	if (wire->state != HTTP_WIRE_CLOSE && (int64_t)size > wire->left)
		size = (size_t)wire->left;
	if (!http_answer_bytes(answer, bytes, size)) {
		fail(wire, CURLE_WRITE_ERROR, "");
		return size;
	}
	wire->left -= wire->state == HTTP_WIRE_CLOSE ? 0 : (int64_t)size;
	if (wire->left > 0 || wire->state == HTTP_WIRE_CLOSE)
		return size;
	if (wire->state == HTTP_WIRE_CHUNK)
		wire->state = HTTP_WIRE_GAP;
	else
		done(wire);
	return size;
}

size_t
http_wire_take(struct http_wire *wire, struct http_answer *answer,
    const char *bytes, size_t size)
{
	size_t at = 0;

	wire->any = wire->any || size > 0;
	while (at < size && wire->state != HTTP_WIRE_DONE &&
	       wire->state != HTTP_WIRE_BROKEN) {
		bool body = wire->state == HTTP_WIRE_LENGTH ||
			    wire->state == HTTP_WIRE_CHUNK ||
			    wire->state == HTTP_WIRE_CLOSE;

		at += (body ? take_body : take_lines)(
		    wire, answer, bytes + at, size - at);
	}
	return at;
}

void
http_wire_end(struct http_wire *wire)
{
	bool counted = wire->state == HTTP_WIRE_LENGTH;

	if (wire->state == HTTP_WIRE_CLOSE) {
		done(wire);
		return;
	}
	if (wire->state == HTTP_WIRE_DONE || wire->state == HTTP_WIRE_BROKEN)
		return;
	if (wire->state == HTTP_WIRE_HEAD) {
		fail(wire, CURLE_GOT_NOTHING,
		    wire->any ? "the connection was closed in the headers"
			      : "Empty reply from server");
		return;
	}
	fail(wire, CURLE_PARTIAL_FILE, "");
	if (counted)
		snprintf(wire->words, sizeof(wire->words),
		    "transfer closed with %" PRId64 " bytes remaining to read",
		    wire->left);
	else
		snprintf(wire->words, sizeof(wire->words),
		    "transfer closed with outstanding read data remaining");
}
