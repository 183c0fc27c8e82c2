#include "daemon/handlers/http_exchange.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
	TRACE_BYTES = 16,
	SPAN_BYTES = 8,
	RANDOM_BYTES = 240, /* up to 256 come whole (getrandom(2)) */
};

/* Drawn for many requests at once. */
static void
draw(unsigned char *bytes, size_t count)
{
	static unsigned char drawn[RANDOM_BYTES];
	static size_t left;

	if (left < count) {
		if (getrandom(drawn, sizeof(drawn), 0) !=
		    (ssize_t)sizeof(drawn))
			abort();
		left = sizeof(drawn);
	}
	left -= count;
	memcpy(bytes, drawn + left, count);
}

static void
write_hex(char *hex, const unsigned char *bytes, size_t count)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < count; i++) {
		hex[2 * i] = digits[bytes[i] >> 4];
		hex[2 * i + 1] = digits[bytes[i] & 15];
	}
}

void
http_exchange_begin(struct http_exchange *exchange, void *owner)
{
	unsigned char bytes[TRACE_BYTES];

	http_exchange_clear(exchange);
	draw(bytes, sizeof(bytes));
	bytes[0] |= 1; /* all zeros would say "none" */
	write_hex(exchange->trace_id, bytes, TRACE_BYTES);
	exchange->owner = owner;
}

void
http_exchange_clear(struct http_exchange *exchange)
{
	http_answer_clear(&exchange->answer);
	exchange->opening.refused[0] = '\0';
	exchange->detail[0] = '\0';
}

/* What is known when it is compiled is not measured again for each request. */
#define ADD(text, words) text_add(text, words, sizeof(words) - 1)

/* A trace of its own (W3C Trace Context, version 00, sampled). */
static void
add_trace(const struct http_exchange *exchange, struct text *head)
{
	unsigned char bytes[SPAN_BYTES];
	char span[2 * SPAN_BYTES];

	draw(bytes, sizeof(bytes));
	bytes[0] |= 1;
	write_hex(span, bytes, SPAN_BYTES);
	ADD(head, "\r\ntraceparent: 00-");
	text_add(head, exchange->trace_id, 2 * TRACE_BYTES);
	text_add_char(head, '-');
	text_add(head, span, sizeof(span));
	ADD(head, "-01\r\n");
}

void
http_exchange_lines(const struct http_exchange *exchange,
    const struct task *task, const char *cluster, struct text *head)
{
	ADD(head, "Idempotency-Key: ");
	text_add_string(head, cluster);
	text_add_char(head, '-');
	text_add_int(head, task->id);
	ADD(head, "\r\nMuster-Fencing-Token: ");
	text_add_int(head, task->lease);
	text_add_char(head, '-');
	text_add_int(head, task->id);
	ADD(head, "\r\nMuster-Task: ");
	text_add_int(head, task->id);
	if (task->flow > 0) {
		ADD(head, "\r\nMuster-Flow: ");
		text_add_int(head, task->flow);
	}
	ADD(head, "\r\nMuster-Kind: ");
	text_add_string(head, task->kind);
	ADD(head, "\r\nMuster-Attempt: ");
	text_add_int(head, task->attempt);
	add_trace(exchange, head);
}

/* Both are handed on as PostgreSQL wrote them. */
void
http_exchange_body(const struct task *task, struct text *body)
{
	ADD(body, "{\"payload\":");
	if (task->payload != NULL)
		text_add(body, task->payload, task->payload_size);
	else
		ADD(body, "null");
	ADD(body, ",\"inputs\":");
	if (task->inputs != NULL)
		text_add(body, task->inputs, task->inputs_size);
	else
		ADD(body, "{}");
	text_add_char(body, '}');
}
