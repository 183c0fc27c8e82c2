/* http: requests over TLS: libcurl does it all, with HTTP/2 where it can. */
#include <event2/event.h>
#include <stdlib.h>

#include "common/busy.h"
#include "common/log.h"
#include "daemon/handlers/http_carrier.h"
#include "daemon/handlers/http_host.h"
#include "daemon/handlers/http_loop.h"
#include "daemon/handlers/http_request.h"

enum {
	SPARES = 64,   /* requests kept for the next tasks */
	LOOK_MS = 500, /* for requests that stand still */
};

TAILQ_HEAD(request_list, http_request);

struct http_carrier {
	const struct http_service *service;
	struct http_loop *loop;
	struct request_list under_way;
	struct event *look_event; /* while there may be streams of HTTP/2 */
	bool plain;		  /* no HTTP/2: given up */
	struct http_request *spares[SPARES];
	size_t spare_count;
};

/*
 * What is known of HTTP/2 in libcurl before 8.0: where the server answers
 * before it has read the request it may forget that bytes of the answer are in
 * its own buffers, and waits for more from the socket; or it sends on, finds
 * the stream closed, and drops the answer. So those that stand still are made
 * to read, and for an answer that was lost the request is sent anew, with the
 * same Idempotency-Key, and HTTP/1.1 is spoken from then on.
 */
static void
look_soon(struct http_carrier *carrier)
{
	struct timeval after = {.tv_usec = LOOK_MS * 1000};

	if (!carrier->plain && !evtimer_pending(carrier->look_event, NULL))
		event_add(carrier->look_event, &after);
}

static void
on_look_event(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct http_carrier *carrier = argument;
	struct http_request *request;
	struct busy busy = busy_enter("looking for http transfers");

	TAILQ_FOREACH(request, &carrier->under_way, link)
	{
		int64_t moved = http_request_moved(request);

		if (moved == request->moved)
			http_loop_nudge(carrier->loop, request->easy);
		request->moved = moved;
	}
	if (!TAILQ_EMPTY(&carrier->under_way))
		look_soon(carrier);
	busy_leave(busy);
}

static void
send_again(struct http_request *request)
{
	struct http_carrier *carrier = request->carrier;

	if (!carrier->plain)
		log_info("%s answers over HTTP/2 before it has read requests, "
			 "and an answer was lost: HTTP/1.1 from now on",
		    http_host_name(carrier->service->server));
	carrier->plain = true;
	http_request_again(request);
	http_loop_start(carrier->loop, request->easy);
}

static void
on_ended(CURL *easy, CURLcode code, int socket, void *argument)
{
	struct http_carrier *carrier = argument;
	const struct http_service *service = carrier->service;
	struct http_request *request;
	char *private = NULL;

	(void)socket;
	(void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
	request = (struct http_request *)(void *)private;
	if (http_request_was_lost(request, code)) {
		send_again(request);
		return;
	}
	TAILQ_REMOVE(&carrier->under_way, request, link);
	service->on_ended(&request->exchange, code, service->argument);
}

static struct http_exchange *
start(struct http_carrier *carrier, const struct task *task, void *owner)
{
	struct http_request *request =
	    carrier->spare_count > 0
		? carrier->spares[--carrier->spare_count]
		: http_request_new(carrier->service, carrier, carrier->loop);

	http_exchange_begin(&request->exchange, owner);
	http_request_fill(request, carrier->service, task, carrier->plain);
	TAILQ_INSERT_TAIL(&carrier->under_way, request, link);
	http_loop_start(carrier->loop, request->easy);
	look_soon(carrier);
	return &request->exchange;
}

static const char *
stage(const struct http_exchange *exchange)
{
	curl_off_t sent_at = 0;

	(void)curl_easy_getinfo(http_request_of(exchange)->easy,
	    CURLINFO_PRETRANSFER_TIME_T, &sent_at);
	return sent_at == 0 ? "while connecting"
			    : http_answer_stage(&exchange->answer);
}

static void
stop(struct http_exchange *exchange)
{
	struct http_request *request = http_request_of(exchange);

	http_loop_stop(request->carrier->loop, request->easy);
	TAILQ_REMOVE(&request->carrier->under_way, request, link);
}

static void
release(struct http_exchange *exchange)
{
	struct http_request *request = http_request_of(exchange);
	struct http_carrier *carrier = request->carrier;

	http_request_clear(request);
	if (carrier->spare_count < SPARES)
		carrier->spares[carrier->spare_count++] = request;
	else
		(void)http_request_free(request);
}

static struct http_carrier *
open_carrier(const struct http_service *service)
{
	struct http_carrier *carrier = calloc(1, sizeof(*carrier));

	if (carrier == NULL)
		abort();
	carrier->service = service;
	carrier->loop =
	    http_loop_new(service->host->base, false, on_ended, carrier);
	TAILQ_INIT(&carrier->under_way);
	carrier->look_event =
	    evtimer_new(service->host->base, on_look_event, carrier);
	if (carrier->look_event == NULL)
		abort();
	return carrier;
}

static void
close_carrier(struct http_carrier *carrier)
{
	for (size_t i = 0; i < carrier->spare_count; i++)
		(void)http_request_free(carrier->spares[i]);
	(void)http_loop_free(carrier->loop);
	event_free(carrier->look_event);
	free(carrier);
}

const struct http_carrier_ops http_by_libcurl = {
    .open = open_carrier,
    .start = start,
    .stage = stage,
    .stop = stop,
    .release = release,
    .close = close_carrier,
};
