/* http: requests without TLS: a line for each, kept for the next one. */
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "daemon/handlers/http_carrier.h"
#include "daemon/handlers/http_headers.h"
#include "daemon/handlers/http_host.h"
#include "daemon/handlers/http_line.h"
#include "daemon/handlers/http_loop.h"

enum {
	IDLE_LINES = 256,   /* kept at most */
	IDLE_MS = 118000,   /* others on the way may have forgotten it then */
	KEEP_BYTES = 16384, /* of a request, in memory for the next one */
};

TAILQ_HEAD(line_list, http_line);

struct http_carrier {
	struct http_line_host host;
	struct text head; /* what all requests begin with; empty: not yet */
	struct text body; /* of the one that is put together */
	struct line_list idle; /* the last one first */
	int idle_count;
};

static void
forget(struct http_carrier *carrier, struct http_line *line)
{
	TAILQ_REMOVE(&carrier->idle, line, link);
	carrier->idle_count--;
	(void)http_line_free(line);
}

static void
forget_all(struct http_carrier *carrier)
{
	struct http_line *line;

	while ((line = TAILQ_FIRST(&carrier->idle)) != NULL)
		forget(carrier, line);
}

static void
on_lost(struct http_line *line, void *argument)
{
	forget(argument, line);
}

static void
on_ended(struct http_line *line, CURLcode code, void *argument)
{
	const struct http_carrier *carrier = argument;
	const struct http_service *service = carrier->host.service;

	service->on_ended(&line->exchange, code, service->argument);
}

/* One that is not configured otherwise. */
static void
add_line(struct http_carrier *carrier, const char *name, const char *value)
{
	if (http_headers_name(carrier->host.service->headers, name))
		return;
	text_add_string(&carrier->head, name);
	text_add_string(&carrier->head, ": ");
	text_add_string(&carrier->head, value);
	text_add_string(&carrier->head, "\r\n");
}

static void
write_head(struct http_carrier *carrier)
{
	const struct http_service *service = carrier->host.service;
	struct text *head = &carrier->head;

	text_add_string(head, "POST ");
	text_add_string(head, http_host_target(service->server));
	text_add_string(head, " HTTP/1.1\r\n");
	add_line(carrier, "Host", http_host_authority(service->server));
	add_line(carrier, "User-Agent", HTTP_USER_AGENT);
	add_line(carrier, "Accept", "*/*");
	text_add_string(head, HTTP_CONTENT_TYPE "\r\n");
	http_headers_add(service->headers, head);
}

static void
write_request(struct http_carrier *carrier, struct http_line *line,
    const struct task *task)
{
	struct text *request = &line->request, *body = &carrier->body;

	if (carrier->head.length == 0)
		write_head(carrier);
	text_clear(request);
	text_clear(body);
	text_add(request, carrier->head.data, carrier->head.length);
	http_exchange_lines(&line->exchange, task,
	    carrier->host.service->host->config->cluster, request);
	http_exchange_body(task, body);
	text_add_string(request, "Content-Length: ");
	text_add_int(request, (int64_t)body->length);
	text_add_string(request, "\r\n\r\n");
	text_add(request, body->data, body->length);
	if (body->capacity > KEEP_BYTES)
		text_free(body);
}

static struct http_line *
take_line(struct http_carrier *carrier)
{
	struct http_line *line = TAILQ_FIRST(&carrier->idle);

	if (line == NULL)
		return http_line_new(&carrier->host);
	if (mono_ms_between(line->idle_since, mono_lately()) > IDLE_MS) {
		forget_all(carrier); /* the others are idle for longer */
		return http_line_new(&carrier->host);
	}
	TAILQ_REMOVE(&carrier->idle, line, link);
	carrier->idle_count--;
	return line;
}

static struct http_exchange *
start(struct http_carrier *carrier, const struct task *task, void *owner)
{
	struct http_line *line = take_line(carrier);

	http_exchange_begin(&line->exchange, owner);
	write_request(carrier, line, task);
	http_line_start(line);
	return &line->exchange;
}

static const char *
stage(const struct http_exchange *exchange)
{
	return http_line_of(exchange)->state == HTTP_LINE_CONNECTING
		   ? "while connecting"
		   : http_answer_stage(&exchange->answer);
}

static void
stop(struct http_exchange *exchange)
{
	http_line_stop(http_line_of(exchange));
}

static void
release(struct http_exchange *exchange)
{
	struct http_line *line = http_line_of(exchange);
	struct http_carrier *carrier = line->host->argument;

	if (line->fd < 0 || carrier->idle_count >= IDLE_LINES) {
		(void)http_line_free(line);
		return;
	}
	http_exchange_clear(exchange);
	if (line->request.capacity > KEEP_BYTES)
		text_free(&line->request);
	TAILQ_INSERT_HEAD(&carrier->idle, line, link);
	carrier->idle_count++;
}

static struct http_carrier *
open_carrier(const struct http_service *service)
{
	struct http_carrier *carrier = calloc(1, sizeof(*carrier));

	if (carrier == NULL)
		abort();
	TAILQ_INIT(&carrier->idle);
	carrier->host = (struct http_line_host){.service = service,
	    .loop = http_loop_new(
		service->host->base, true, http_line_connected, &carrier->host),
	    .on_ended = on_ended,
	    .on_lost = on_lost,
	    .argument = carrier};
	return carrier;
}

static void
close_carrier(struct http_carrier *carrier)
{
	forget_all(carrier);
	(void)http_loop_free(carrier->host.loop);
	if (carrier->head.data != NULL)
		explicit_bzero(carrier->head.data, carrier->head.length);
	text_free(&carrier->head);
	text_free(&carrier->body);
	free(carrier);
}

const struct http_carrier_ops http_by_lines = {
    .open = open_carrier,
    .start = start,
    .stage = stage,
    .stop = stop,
    .release = release,
    .close = close_carrier,
};
