#include "daemon/handlers/http_line.h"

#include <errno.h>
#include <event2/event.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/busy.h"
#include "common/http_connect.h"
#include "daemon/handlers/http_carrier.h"
#include "daemon/handlers/http_host.h"
#include "daemon/handlers/http_loop.h"

enum {
	READ_BYTES = 32 << 10,
	READS = 8, /* before others have their turn */
};

/* Options are refused only by a libcurl that was built without them. */
#define MUST(call)                                                             \
	do {                                                                   \
		if ((call) != CURLE_OK)                                        \
			abort();                                               \
	} while (0)

struct http_line *
http_line_of(const struct http_exchange *exchange)
{
	return (
	    struct http_line *)(void *)((char *)(uintptr_t)exchange -
					offsetof(struct http_line, exchange));
}

struct http_line *
http_line_new(const struct http_line_host *host)
{
	struct http_line *line = calloc(1, sizeof(*line));

	if (line == NULL)
		abort();
	line->host = host;
	line->state = HTTP_LINE_IDLE;
	line->fd = -1;
	line->exchange.opening.allow_private =
	    host->service->config->allow_private > 0;
	line->exchange.answer.limit =
	    (size_t)host->service->host->config->max_result_bytes;
	return line;
}

static void
hang_up(struct http_line *line)
{
	if (line->fd < 0)
		return;
	event_free(line->readable);
	event_free(line->writable);
	line->readable = line->writable = NULL;
	close(line->fd);
	line->fd = -1;
}

struct http_line *
http_line_free(struct http_line *line)
{
	hang_up(line);
	http_answer_free(&line->exchange.answer);
	http_wire_free(&line->wire);
	text_free(&line->request);
	free(line);
	return NULL;
}

/* Its events are gone when the connection cannot carry another request. */
static void
end(struct http_line *line, CURLcode code)
{
	bool whole = line->sent == line->request.length && !line->deaf;

	line->state = HTTP_LINE_IDLE;
	line->used = true;
	line->idle_since = mono_lately();
	if (code != CURLE_OK || !line->wire.keeps || !whole)
		hang_up(line);
	line->host->on_ended(line, code, line->host->argument);
}

static void
end_broken(struct http_line *line, CURLcode code, const char *words)
{
	snprintf(
	    line->exchange.detail, sizeof(line->exchange.detail), "%s", words);
	end(line, code);
}

static void
connect_line(struct http_line *line)
{
	const struct http_service *service = line->host->service;
	const char *entry = http_host_entry(service->server);
	CURL *easy = curl_easy_init();

	if (easy == NULL)
		abort();
	line->state = HTTP_LINE_CONNECTING;
	line->easy = easy;
	line->used = false;
	MUST(curl_easy_setopt(easy, CURLOPT_PRIVATE, line));
	MUST(curl_easy_setopt(
	    easy, CURLOPT_CURLU, http_host_url(service->server)));
	MUST(
	    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, line->exchange.detail));
	http_connect_setup(easy, service->config);
	if (entry != NULL)
		line->addresses = curl_slist_append(NULL, entry);
	MUST(curl_easy_setopt(easy, CURLOPT_RESOLVE, line->addresses));
	http_loop_prepare(line->host->loop, easy, &line->exchange.opening);
	http_loop_start(line->host->loop, easy);
}

static void
drop_easy(struct http_line *line)
{
	curl_easy_cleanup(line->easy);
	curl_slist_free_all(line->addresses);
	line->easy = NULL;
	line->addresses = NULL;
}

/* A server may close an idle connection while a request is on its way to it,
 * which it then has not seen. */
static bool
had_died(const struct http_line *line)
{
	return line->used && !line->wire.any;
}

static void
closed(struct http_line *line, int error)
{
	char words[96];

	if (had_died(line)) {
		hang_up(line);
		connect_line(line);
		return;
	}
	if (error == 0 || error == EPIPE) {
		http_wire_end(&line->wire);
		end_broken(line, line->wire.code, line->wire.words);
		return;
	}
	snprintf(words, sizeof(words), "Recv failure: %s", strerror(error));
	end_broken(line, CURLE_RECV_ERROR, words);
}

/* False: it ended, and the line may be gone. */
static bool
take(struct http_line *line, const char *bytes, size_t size)
{
	struct http_wire *wire = &line->wire;
	size_t taken =
	    http_wire_take(wire, &line->exchange.answer, bytes, size);

	if (wire->state == HTTP_WIRE_BROKEN) {
		end_broken(line, wire->code, wire->words);
		return false;
	}
	if (wire->state != HTTP_WIRE_DONE)
		return true;
	wire->keeps = wire->keeps && taken == size;
	end(line, CURLE_OK);
	return false;
}

static void
receive(struct http_line *line)
{
	static char bytes[READ_BYTES];

	for (int i = 0; i < READS; i++) {
		ssize_t size = recv(line->fd, bytes, sizeof(bytes), 0);

		if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
			if (line->deaf)
				closed(line, EPIPE);
			return;
		}
		if (size <= 0) {
			closed(line, size < 0 ? errno : 0);
			return;
		}
		if (!take(line, bytes, (size_t)size) || size < READ_BYTES)
			return;
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct http_line *line = argument;
	struct busy busy = busy_enter("http answers");

	if (line->state == HTTP_LINE_IDLE)
		line->host->on_lost(line, line->host->argument);
	else
		receive(line);
	busy_leave(busy);
}

/* One that takes no more may have said why. */
static void
send_more(struct http_line *line)
{
	const struct text *request = &line->request;

	while (line->sent < request->length) {
		ssize_t size = send(line->fd, request->data + line->sent,
		    request->length - line->sent, MSG_NOSIGNAL);

		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0 && errno == EAGAIN) {
			event_add(line->writable, NULL);
			return;
		}
		if (size < 0) {
			line->deaf = true;
			event_active(line->readable, EV_READ, 0);
			return;
		}
		line->sent += (size_t)size;
	}
}

static void
on_writable(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct busy busy = busy_enter("http requests");

	send_more(argument);
	busy_leave(busy);
}

static void
begin(struct http_line *line)
{
	line->state = HTTP_LINE_BUSY;
	line->sent = 0;
	line->deaf = false;
	http_wire_clear(&line->wire);
	send_more(line);
}

void
http_line_start(struct http_line *line)
{
	if (line->fd >= 0)
		begin(line);
	else
		connect_line(line);
}

void
http_line_stop(struct http_line *line)
{
	if (line->state == HTTP_LINE_CONNECTING) {
		http_loop_stop(line->host->loop, line->easy);
		drop_easy(line);
	}
	line->state = HTTP_LINE_IDLE;
	hang_up(line);
}

static void
watch(struct http_line *line)
{
	struct event_base *base = line->host->service->host->base;

	line->readable =
	    event_new(base, line->fd, EV_READ | EV_PERSIST, on_readable, line);
	line->writable = event_new(base, line->fd, EV_WRITE, on_writable, line);
	if (line->readable == NULL || line->writable == NULL ||
	    event_add(line->readable, NULL) < 0)
		abort();
}

void
http_line_connected(CURL *easy, CURLcode code, int fd, void *host)
{
	struct http_line *line;
	char *private = NULL;

	(void)host;
	(void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
	line = (struct http_line *)(void *)private;
	drop_easy(line);
	line->fd = fd;
	if (code != CURLE_OK) {
		end(line, code);
		return;
	}
	watch(line);
	begin(line);
}
