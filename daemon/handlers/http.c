/*
 * http: each task is a POST to a service. The server's name is looked up first,
 * off the loop; libcurl does the rest on it.
 *
 *   WAITING ──→ RUNNING ──→ (outcome reported, gone)
 *      └───────────┴──→ ENDED ──↑        ENDED: as told, or never begun
 */
#include <assert.h>
#include <curl/curl.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/busy.h"
#include "common/http_connect.h"
#include "common/log.h"
#include "common/text.h"
#include "daemon/handlers/handler.h"
#include "daemon/handlers/http_headers.h"
#include "daemon/handlers/http_host.h"
#include "daemon/handlers/http_loop.h"
#include "daemon/handlers/http_request.h"

enum {
	TRANSFER_MAGIC = 0x68747470,
	STARTS = 32, /* between two turns of the loop */
	SPARES = 64, /* requests kept for the next tasks */
	LOOKUP_AGAIN_MS = 1000,
	LOOK_MS = 500, /* for transfers that stand still */
};

enum transfer_state {
	TRANSFER_WAITING, /* for its turn, or for the server's addresses */
	TRANSFER_RUNNING, /* libcurl has it */
	TRANSFER_ENDED,	  /* its outcome waits to be reported */
};

struct transfer {
	uint32_t magic;
	enum transfer_state state;
	struct handler *handler;
	struct task *task;
	TAILQ_ENTRY(transfer) link;   /* in the list of its state */
	struct http_request *request; /* RUNNING */
	int64_t moved;		      /* bytes of it, when last looked at */
	enum outcome_kind end;	      /* ENDED */
	struct text error;
};

TAILQ_HEAD(transfer_list, transfer);

struct handler {
	struct handler_host host;
	const struct handler_config *config;
	struct http_headers *headers;
	struct http_host *server;
	struct http_loop *loop; /* NULL: nothing was to be done yet */
	struct transfer_list waiting, running, ended;
	struct event *next_event; /* what waits goes on, what ended goes */
	struct event *look_event; /* while there may be streams of HTTP/2 */
	bool plain;		  /* no HTTP/2: not offered, or given up */
	struct http_request *spares[SPARES];
	size_t spare_count;
	int transfers;
};

static struct transfer *
checked(void *argument)
{
	struct transfer *transfer = argument;

	assert(transfer->magic == TRANSFER_MAGIC);
	return transfer;
}

static void
go_on_soon(struct handler *handler)
{
	if (!evtimer_pending(handler->next_event, NULL))
		event_add(handler->next_event, &(struct timeval){0});
}

static struct http_request *
take_request(struct handler *handler)
{
	if (handler->spare_count > 0)
		return handler->spares[--handler->spare_count];
	return http_request_new(&handler->host, handler->config,
	    http_host_url(handler->server), handler->loop);
}

static void
keep_request(struct handler *handler, struct http_request *request)
{
	if (request == NULL)
		return;
	http_request_clear(request);
	if (handler->spare_count < SPARES)
		handler->spares[handler->spare_count++] = request;
	else
		(void)http_request_free(request);
}

/* Reports, and frees the transfer; its request is free for another. */
static void
report(struct transfer *transfer, const struct outcome *outcome)
{
	struct handler *handler = transfer->handler;
	struct task *task = transfer->task;

	task->state = NULL;
	handler->host.on_done(task, outcome, handler->host.argument);
	handler->transfers--;
	keep_request(handler, transfer->request);
	text_free(&transfer->error);
	transfer->magic = 0;
	free(transfer);
}

/* Out of any list and not libcurl's any more: reported soon. */
static void
end(struct transfer *transfer, enum outcome_kind kind, const char *error)
{
	transfer->state = TRANSFER_ENDED;
	transfer->end = kind;
	text_add_string(&transfer->error, error);
	TAILQ_INSERT_TAIL(&transfer->handler->ended, transfer, link);
	go_on_soon(transfer->handler);
}

static void
report_ended(struct handler *handler)
{
	struct transfer *transfer;

	while ((transfer = TAILQ_FIRST(&handler->ended)) != NULL) {
		const struct http_request *request = transfer->request;
		struct outcome outcome = {.kind = transfer->end,
		    .error = transfer->error.data,
		    .error_size = transfer->error.length,
		    .after_ms = transfer->end == OUTCOME_TRY_LATER
				    ? LOOKUP_AGAIN_MS
				    : -1,
		    .trace_id = request != NULL ? request->trace_id : NULL};

		TAILQ_REMOVE(&handler->ended, transfer, link);
		report(transfer, &outcome);
	}
}

/* No address let it connect, and one was kept from it. */
static bool
was_refused(const struct http_request *request, CURLcode code)
{
	return request->refused[0] != '\0' && code == CURLE_COULDNT_CONNECT;
}

/*
 * What is known of HTTP/2 in libcurl before 8.0: where the server answers
 * before it has read the request it may forget that bytes of the answer are in
 * its own buffers, and waits for more from the socket; or it sends on, finds
 * the stream closed, and drops the answer. So those that stand still are made
 * to read, and for an answer that was lost the request is sent anew, with the
 * same Idempotency-Key, and HTTP/1.1 is spoken from then on.
 */
static void
look_soon(struct handler *handler)
{
	struct timeval after = {.tv_usec = LOOK_MS * 1000};

	if (!handler->plain && !evtimer_pending(handler->look_event, NULL))
		event_add(handler->look_event, &after);
}

static void
on_look_event(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct handler *handler = argument;
	struct transfer *transfer;
	struct busy busy = busy_enter("looking for http transfers");

	TAILQ_FOREACH(transfer, &handler->running, link)
	{
		int64_t moved = http_request_moved(transfer->request);

		if (moved == transfer->moved)
			http_loop_nudge(handler->loop, transfer->request->easy);
		transfer->moved = moved;
	}
	if (!TAILQ_EMPTY(&handler->running))
		look_soon(handler);
	busy_leave(busy);
}

static void
send_again(struct transfer *transfer)
{
	struct handler *handler = transfer->handler;

	if (!handler->plain)
		log_info("%s answers over HTTP/2 before it has read requests, "
			 "and an answer was lost: HTTP/1.1 from now on",
		    http_host_name(handler->server));
	handler->plain = true;
	http_request_again(transfer->request);
	http_loop_start(handler->loop, transfer->request->easy);
}

static struct outcome
judge(struct transfer *transfer, CURLcode code, struct text *text)
{
	struct handler *handler = transfer->handler;
	struct http_request *request = transfer->request;
	struct outcome outcome = {.after_ms = -1};

	if (!was_refused(request, code)) {
		outcome = http_answer_judge(&request->answer, code,
		    request->detail, handler->headers, text);
	} else {
		text_addf(text,
		    "%s has the private address %s, and allow_private is not "
		    "set",
		    http_host_name(handler->server), request->refused);
		outcome.kind = OUTCOME_CANNOT_RUN;
		outcome.error = text->data;
		outcome.error_size = text->length;
	}
	outcome.trace_id = request->trace_id;
	return outcome;
}

static void
log_answer(const struct transfer *transfer)
{
	const struct task *task = transfer->task;
	struct log_context about = {.task = task->id,
	    .flow = task->flow,
	    .attempt = task->attempt,
	    .kind = task->kind,
	    .queue = task->queue,
	    .trace_id = transfer->request->trace_id};

	if (log_level_now() < LOG_LEVEL_DEBUG)
		return;
	log_write(LOG_LEVEL_DEBUG, LOG_PLAIN, &about,
	    "%s answered with status %ld after %" PRId64 " ms",
	    http_host_name(transfer->handler->server),
	    http_answer_status(&transfer->request->answer),
	    mono_ms_between(task->started, mono_now()));
}

static void
on_transfer_ended(CURL *easy, CURLcode code, void *argument)
{
	struct handler *handler = argument;
	struct transfer *transfer;
	struct text text = TEXT_EMPTY;
	struct outcome outcome;
	char *private = NULL;

	(void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
	transfer = checked(private);
	if (http_request_was_lost(transfer->request, code)) {
		send_again(transfer);
		return;
	}
	TAILQ_REMOVE(&handler->running, transfer, link);
	outcome = judge(transfer, code, &text);
	if (code == CURLE_COULDNT_CONNECT || code == CURLE_OPERATION_TIMEDOUT)
		http_host_doubt(handler->server);
	log_answer(transfer);
	report(transfer, &outcome);
	text_free(&text);
}

static void
end_all_waiting(
    struct handler *handler, enum outcome_kind kind, const char *error)
{
	struct transfer *transfer;

	while ((transfer = TAILQ_FIRST(&handler->waiting)) != NULL) {
		TAILQ_REMOVE(&handler->waiting, transfer, link);
		end(transfer, kind, error);
	}
}

static void
on_server_found(const char *reason, void *argument)
{
	struct handler *handler = argument;
	struct text error = TEXT_EMPTY;

	if (reason == NULL) {
		go_on_soon(handler);
		return;
	}
	text_addf(&error, "cannot find %s: %s", http_host_name(handler->server),
	    reason);
	end_all_waiting(handler, OUTCOME_FAILED, text_string(&error));
	text_free(&error);
}

static void
start_transfer(struct transfer *transfer)
{
	struct handler *handler = transfer->handler;

	if (handler->loop == NULL)
		handler->loop = http_loop_new(
		    handler->host.base, on_transfer_ended, handler);
	transfer->state = TRANSFER_RUNNING;
	TAILQ_INSERT_TAIL(&handler->running, transfer, link);
	transfer->request = take_request(handler);
	http_request_fill(transfer->request, transfer->task,
	    handler->host.config->cluster, handler->headers,
	    http_host_entry(handler->server), handler->plain);
	(void)curl_easy_setopt(
	    transfer->request->easy, CURLOPT_PRIVATE, transfer);
	http_loop_start(handler->loop, transfer->request->easy);
	look_soon(handler);
}

static void
start_waiting(struct handler *handler)
{
	struct error error;

	if (!http_headers_read(handler->headers, &error)) {
		end_all_waiting(handler, OUTCOME_CANNOT_RUN, error.text);
		return;
	}
	for (int i = 0; i < STARTS; i++) {
		struct transfer *transfer = TAILQ_FIRST(&handler->waiting);

		if (transfer == NULL)
			return;
		if (!http_host_is_known(handler->server)) {
			http_host_find(handler->server);
			return;
		}
		TAILQ_REMOVE(&handler->waiting, transfer, link);
		start_transfer(transfer);
	}
	if (!TAILQ_EMPTY(&handler->waiting))
		go_on_soon(handler);
}

static void
on_next_event(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct handler *handler = argument;
	struct busy busy = busy_enter("starting http transfers");

	report_ended(handler);
	if (!TAILQ_EMPTY(&handler->waiting))
		start_waiting(handler);
	busy_leave(busy);
}

static void
http_start(struct handler *handler, struct task *task)
{
	struct transfer *transfer = calloc(1, sizeof(*transfer));

	if (transfer == NULL)
		abort();
	transfer->magic = TRANSFER_MAGIC;
	transfer->state = TRANSFER_WAITING;
	transfer->handler = handler;
	transfer->task = task;
	task->state = transfer;
	handler->transfers++;
	TAILQ_INSERT_TAIL(&handler->waiting, transfer, link);
	go_on_soon(handler);
}

/* What it was doing, for people. */
static const char *
stage_of(const struct transfer *transfer)
{
	const struct http_request *request = transfer->request;
	curl_off_t sent_at = 0;

	(void)curl_easy_getinfo(
	    request->easy, CURLINFO_PRETRANSFER_TIME_T, &sent_at);
	if (sent_at == 0)
		return "while connecting";
	if (request->answer.header_bytes == 0)
		return "without an answer";
	return "in the middle of the answer";
}

/* Whatever the reason, there is nobody to be told: it ends at once. */
static void
http_cancel(struct handler *handler, struct task *task,
    enum cancel_reason reason, int64_t grace_ms)
{
	struct transfer *transfer = checked(task->state);

	(void)reason, (void)grace_ms;
	if (transfer->state == TRANSFER_WAITING) {
		TAILQ_REMOVE(&handler->waiting, transfer, link);
		end(transfer, OUTCOME_CANCELLED,
		    http_host_is_known(handler->server)
			? "not started"
			: "while the server's name was looked up");
	} else if (transfer->state == TRANSFER_RUNNING) {
		const char *stage = stage_of(transfer);

		http_loop_stop(handler->loop, transfer->request->easy);
		TAILQ_REMOVE(&handler->running, transfer, link);
		end(transfer, OUTCOME_CANCELLED, stage);
	}
}

static struct handler *
http_open(const struct handler_host *host, const struct handler_config *config)
{
	struct handler *handler = calloc(1, sizeof(*handler));
	struct error error;

	if (handler == NULL ||
	    curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		abort();
	handler->host = *host;
	handler->config = config;
	handler->headers = http_headers_new(config);
	handler->server = http_host_new(host->base, config->url,
	    http_connect_ms(config), on_server_found, handler);
	handler->plain = strncmp(config->url, "https:", 6) != 0;
	TAILQ_INIT(&handler->waiting);
	TAILQ_INIT(&handler->running);
	TAILQ_INIT(&handler->ended);
	handler->next_event = evtimer_new(host->base, on_next_event, handler);
	handler->look_event = evtimer_new(host->base, on_look_event, handler);
	if (handler->next_event == NULL || handler->look_event == NULL)
		abort();
	/* So that a reload takes what the files hold now. What fails is tried
	 * again, and told, with the first task. */
	(void)http_headers_read(handler->headers, &error);
	return handler;
}

static void
http_close(struct handler *handler)
{
	assert(handler->transfers == 0);
	for (size_t i = 0; i < handler->spare_count; i++)
		(void)http_request_free(handler->spares[i]);
	(void)http_loop_free(handler->loop);
	(void)http_host_free(handler->server);
	(void)http_headers_free(handler->headers);
	event_free(handler->next_event);
	event_free(handler->look_event);
	free(handler);
	curl_global_cleanup();
}

const struct handler_ops handler_http = {
    .name = "http",
    .open = http_open,
    .start = http_start,
    .cancel = http_cancel,
    .close = http_close,
};
