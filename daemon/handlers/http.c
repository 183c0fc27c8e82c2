/*
 * http: each task is a POST to a service. The server's name is looked up first,
 * off the loop; a carrier does the rest on it.
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
#include "daemon/handlers/http_carrier.h"
#include "daemon/handlers/http_exchange.h"
#include "daemon/handlers/http_headers.h"
#include "daemon/handlers/http_host.h"

enum {
	TRANSFER_MAGIC = 0x68747470,
	STARTS = 32, /* between two turns of the loop */
	LOOKUP_AGAIN_MS = 1000,
};

enum transfer_state {
	TRANSFER_WAITING, /* for its turn, or for the server's addresses */
	TRANSFER_RUNNING, /* the carrier has it */
	TRANSFER_ENDED,	  /* its outcome waits to be reported */
};

struct transfer {
	uint32_t magic;
	enum transfer_state state;
	struct handler *handler;
	struct task *task;
	TAILQ_ENTRY(transfer) link;	/* of those that wait, or have ended */
	struct http_exchange *exchange; /* RUNNING, and after; else NULL */
	enum outcome_kind end;		/* ENDED */
	struct text error;
};

TAILQ_HEAD(transfer_list, transfer);

struct handler {
	struct handler_host host;
	const struct handler_config *config;
	struct http_headers *headers;
	struct http_host *server;
	struct http_service service;
	const struct http_carrier_ops *carries;
	struct http_carrier *carrier; /* NULL: nothing was to be done yet */
	struct transfer_list waiting, ended;
	struct event *next_event; /* what waits goes on, what ended goes */
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

/* Reports, and frees the transfer with its exchange. */
static void
report(struct transfer *transfer, const struct outcome *outcome)
{
	struct handler *handler = transfer->handler;
	struct task *task = transfer->task;

	task->state = NULL;
	handler->host.on_done(task, outcome, handler->host.argument);
	handler->transfers--;
	if (transfer->exchange != NULL)
		handler->carries->release(transfer->exchange);
	text_free(&transfer->error);
	transfer->magic = 0;
	free(transfer);
}

/* Out of any list and not the carrier's any more: reported soon. */
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
		const struct http_exchange *exchange = transfer->exchange;
		struct outcome outcome = {.kind = transfer->end,
		    .error = transfer->error.data,
		    .error_size = transfer->error.length,
		    .after_ms = transfer->end == OUTCOME_TRY_LATER
				    ? LOOKUP_AGAIN_MS
				    : -1,
		    .trace_id = exchange != NULL ? exchange->trace_id : NULL};

		TAILQ_REMOVE(&handler->ended, transfer, link);
		report(transfer, &outcome);
	}
}

/* No address let it connect, and one was kept from it. */
static bool
was_refused(const struct http_exchange *exchange, CURLcode code)
{
	return exchange->opening.refused[0] != '\0' &&
	       code == CURLE_COULDNT_CONNECT;
}

static struct outcome
judge(struct transfer *transfer, CURLcode code, struct text *text)
{
	struct handler *handler = transfer->handler;
	struct http_exchange *exchange = transfer->exchange;
	struct http_end end = {.code = code,
	    .broken = exchange->detail,
	    .url = http_host_url(handler->server),
	    .headers = handler->headers};
	struct outcome outcome = {.after_ms = -1};

	if (!was_refused(exchange, code)) {
		outcome = http_answer_judge(&exchange->answer, &end, text);
	} else {
		text_addf(text,
		    "%s has the private address %s, and allow_private is not "
		    "set",
		    http_host_name(handler->server), exchange->opening.refused);
		outcome.kind = OUTCOME_CANNOT_RUN;
		outcome.error = text->data;
		outcome.error_size = text->length;
	}
	outcome.trace_id = exchange->trace_id;
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
	    .trace_id = transfer->exchange->trace_id};

	if (log_level_now() < LOG_LEVEL_DEBUG)
		return;
	log_write(LOG_LEVEL_DEBUG, LOG_PLAIN, &about,
	    "%s answered with status %ld after %" PRId64 " ms",
	    http_host_name(transfer->handler->server),
	    transfer->exchange->answer.head.status,
	    mono_ms_between(task->started, mono_now()));
}

static void
on_exchange_ended(struct http_exchange *exchange, CURLcode code, void *argument)
{
	struct handler *handler = argument;
	struct transfer *transfer = checked(exchange->owner);
	struct text text = TEXT_EMPTY;
	struct outcome outcome = judge(transfer, code, &text);

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

	if (handler->carrier == NULL)
		handler->carrier = handler->carries->open(&handler->service);
	transfer->state = TRANSFER_RUNNING;
	transfer->exchange =
	    handler->carries->start(handler->carrier, transfer->task, transfer);
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
	bool first;

	if (transfer == NULL)
		abort();
	transfer->magic = TRANSFER_MAGIC;
	transfer->state = TRANSFER_WAITING;
	transfer->handler = handler;
	transfer->task = task;
	task->state = transfer;
	handler->transfers++;
	first = TAILQ_EMPTY(&handler->waiting);
	TAILQ_INSERT_TAIL(&handler->waiting, transfer, link);
	if (first)
		start_waiting(handler);
	else
		go_on_soon(handler);
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
		const char *stage = handler->carries->stage(transfer->exchange);

		handler->carries->stop(transfer->exchange);
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
	handler->service = (struct http_service){.host = &handler->host,
	    .config = config,
	    .headers = handler->headers,
	    .server = handler->server,
	    .on_ended = on_exchange_ended,
	    .argument = handler};
	handler->carries = strncmp(config->url, "https:", 6) == 0
			       ? &http_by_libcurl
			       : &http_by_lines;
	TAILQ_INIT(&handler->waiting);
	TAILQ_INIT(&handler->ended);
	handler->next_event = evtimer_new(host->base, on_next_event, handler);
	if (handler->next_event == NULL)
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
	if (handler->carrier != NULL)
		handler->carries->close(handler->carrier);
	(void)http_host_free(handler->server);
	(void)http_headers_free(handler->headers);
	event_free(handler->next_event);
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
