#include "daemon/handlers/http_request.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/http_connect.h"
#include "daemon/handlers/http_headers.h"
#include "daemon/handlers/http_host.h"
#include "daemon/handlers/http_loop.h"

/* Options are refused only by a libcurl that was built without them. */
#define MUST(call)                                                             \
	do {                                                                   \
		if ((call) != CURLE_OK)                                        \
			abort();                                               \
	} while (0)

struct http_request *
http_request_of(const struct http_exchange *exchange)
{
	return (struct http_request *)(void *)((char *)(uintptr_t)exchange -
					       offsetof(struct http_request,
						   exchange));
}

static void
set_up(struct http_request *request, const struct http_service *service)
{
	CURL *easy = request->easy;

	MUST(curl_easy_setopt(
	    easy, CURLOPT_CURLU, http_host_url(service->server)));
	MUST(curl_easy_setopt(easy, CURLOPT_POST, 1L));
	MUST(curl_easy_setopt(easy, CURLOPT_USERAGENT, HTTP_USER_AGENT));
	MUST(curl_easy_setopt(
	    easy, CURLOPT_ERRORBUFFER, request->exchange.detail));
	MUST(curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->lines));
	MUST(curl_easy_setopt(easy, CURLOPT_PRIVATE, request));
	http_connect_setup(easy, service->config);
}

struct http_request *
http_request_new(const struct http_service *service,
    struct http_carrier *carrier, struct http_loop *loop)
{
	struct http_request *request = calloc(1, sizeof(*request));
	struct http_exchange *exchange = &request->exchange;

	if (request == NULL)
		abort();
	request->carrier = carrier;
	request->easy = curl_easy_init();
	if (request->easy == NULL)
		abort();
	exchange->opening.allow_private = service->config->allow_private > 0;
	exchange->answer.limit =
	    (size_t)service->host->config->max_result_bytes;
	http_answer_attach(&exchange->answer, request->easy);
	set_up(request, service);
	http_loop_prepare(loop, request->easy, &exchange->opening);
	return request;
}

struct http_request *
http_request_free(struct http_request *request)
{
	curl_easy_cleanup(request->easy);
	http_answer_free(&request->exchange.answer);
	text_free(&request->head);
	text_free(&request->body);
	text_free(&request->entry);
	free(request);
	return NULL;
}

static void
chain_lines(struct http_request *request, struct curl_slist *configured)
{
	static char content_type[] = HTTP_CONTENT_TYPE;
	static char expect[] = "Expect:"; /* none: no second round trip */
	char *at = request->head.data;
	int count = HTTP_FIXED_LINES;

	request->lines[0].data = content_type;
	request->lines[1].data = expect;
	for (; *at != '\0'; count++) {
		assert(count < HTTP_OWN_LINES);
		request->lines[count].data = at;
		at = strchr(at, '\r');
		*at = '\0';
		at += 2; /* behind the line's end */
	}
	for (int i = 0; i + 1 < count; i++)
		request->lines[i].next = &request->lines[i + 1];
	request->lines[count - 1].next = configured;
}

static void
set_body(struct http_request *request)
{
	MUST(curl_easy_setopt(request->easy, CURLOPT_POSTFIELDSIZE_LARGE,
	    (curl_off_t)request->body.length));
	MUST(curl_easy_setopt(
	    request->easy, CURLOPT_POSTFIELDS, text_string(&request->body)));
}

static void
set_version(struct http_request *request, bool plain)
{
	request->plain = plain;
	MUST(curl_easy_setopt(request->easy, CURLOPT_HTTP_VERSION,
	    plain ? (long)CURL_HTTP_VERSION_1_1
		  : (long)CURL_HTTP_VERSION_2TLS));
}

void
http_request_fill(struct http_request *request,
    const struct http_service *service, const struct task *task, bool plain)
{
	const char *entry = http_host_entry(service->server);
	struct curl_slist *addresses = NULL;

	http_exchange_lines(&request->exchange, task,
	    service->host->config->cluster, &request->head);
	chain_lines(request, http_headers_lines(service->headers));
	http_exchange_body(task, &request->body);
	set_body(request);
	if (entry != NULL) {
		text_add_string(&request->entry, entry);
		request->entry_line.data = request->entry.data;
		addresses = &request->entry_line;
	}
	MUST(curl_easy_setopt(request->easy, CURLOPT_RESOLVE, addresses));
	set_version(request, plain);
}

void
http_request_again(struct http_request *request)
{
	http_exchange_clear(&request->exchange);
	set_version(request, true);
}

int64_t
http_request_moved(const struct http_request *request)
{
	const struct http_answer *answer = &request->exchange.answer;
	curl_off_t sent = 0;

	(void)curl_easy_getinfo(request->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	return sent + (int64_t)answer->head.bytes + (int64_t)answer->body_bytes;
}

/* A server that resets a stream, or goes away, is quoted in `detail`. */
bool
http_request_was_lost(const struct http_request *request, CURLcode code)
{
	if (request->plain || request->exchange.detail[0] != '\0' ||
	    http_answer_is_enough(&request->exchange.answer, code))
		return false;
	return code == CURLE_HTTP2_STREAM || code == CURLE_HTTP2 ||
	       code == CURLE_PARTIAL_FILE;
}

void
http_request_clear(struct http_request *request)
{
	http_exchange_clear(&request->exchange);
	text_clear(&request->head);
	text_clear(&request->entry);
	text_free(&request->body);
}
