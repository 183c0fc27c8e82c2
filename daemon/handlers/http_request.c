#include "daemon/handlers/http_request.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "common/http_connect.h"
#include "daemon/handlers/http_loop.h"

#define USER_AGENT "musterd"

enum {
	TRACE_BYTES = 16,
	SPAN_BYTES = 8,
	RANDOM_BYTES = 240, /* up to 256 come whole (getrandom(2)) */
};

/* The one place where a connection begins: by the address that is connected
 * to, so it does not matter what a name stood for before or after. */
static curl_socket_t
open_socket(void *argument, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct http_request *request = argument;
	int fd;

	if (purpose != CURLSOCKTYPE_IPCXN)
		return CURL_SOCKET_BAD;
	if (!request->allow_private &&
	    !http_address_is_public(&address->addr)) {
		http_address_format(&address->addr, request->refused);
		return CURL_SOCKET_BAD;
	}
	fd = socket(address->family,
	    address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    address->protocol);
	if (fd >= 0)
		http_loop_opened(request->loop, fd);
	return fd;
}

/* Options are refused only by a libcurl that was built without them. */
#define MUST(call)                                                             \
	do {                                                                   \
		if ((call) != CURLE_OK)                                        \
			abort();                                               \
	} while (0)

static void
set_up(struct http_request *request, const struct handler_config *config,
    CURLU *url)
{
	CURL *easy = request->easy;

	MUST(curl_easy_setopt(easy, CURLOPT_CURLU, url));
	MUST(curl_easy_setopt(easy, CURLOPT_POST, 1L));
	MUST(curl_easy_setopt(easy, CURLOPT_USERAGENT, USER_AGENT));
	MUST(curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->detail));
	MUST(curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket));
	MUST(curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, request));
	MUST(curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->lines));
	http_connect_setup(easy, config);
}

struct http_request *
http_request_new(const struct handler_host *host,
    const struct handler_config *config, CURLU *url, struct http_loop *loop)
{
	struct http_request *request = calloc(1, sizeof(*request));

	if (request == NULL)
		abort();
	request->easy = curl_easy_init();
	if (request->easy == NULL)
		abort();
	request->allow_private = config->allow_private > 0;
	http_answer_attach(&request->answer, request->easy,
	    (size_t)host->config->max_result_bytes);
	set_up(request, config, url);
	request->loop = loop;
	http_loop_prepare(loop, request->easy);
	return request;
}

struct http_request *
http_request_free(struct http_request *request)
{
	curl_easy_cleanup(request->easy);
	http_answer_free(&request->answer);
	text_free(&request->head);
	text_free(&request->body);
	text_free(&request->entry);
	free(request);
	return NULL;
}

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

/* A trace of its own (W3C Trace Context, version 00, sampled). */
static void
add_trace(struct http_request *request, struct text *head)
{
	unsigned char bytes[TRACE_BYTES + SPAN_BYTES];
	char span[2 * SPAN_BYTES];

	draw(bytes, sizeof(bytes));
	bytes[0] |= 1; /* all zeros would say "none" */
	bytes[TRACE_BYTES] |= 1;
	write_hex(request->trace_id, bytes, TRACE_BYTES);
	write_hex(span, bytes + TRACE_BYTES, SPAN_BYTES);
	text_add_string(head, "traceparent: 00-");
	text_add(head, request->trace_id, 2 * TRACE_BYTES);
	text_add_char(head, '-');
	text_add(head, span, sizeof(span));
	text_add_string(head, "-01");
}

/* Adds a line of the head, without its NUL. */
static void
add_line(struct text *head, const char *name, const char *value)
{
	text_add_string(head, name);
	text_add_string(head, value);
}

/* The lines, each ended by a NUL. */
static void
write_head(
    struct http_request *request, const struct task *task, const char *cluster)
{
	struct text *head = &request->head;

	add_line(head, "Content-Type: ", "application/json");
	text_add_char(head, '\0');
	add_line(head, "Expect:", ""); /* none: no second round trip */
	text_add_char(head, '\0');
	add_line(head, "Idempotency-Key: ", cluster);
	text_add_char(head, '-');
	text_add_int(head, task->id);
	text_add_char(head, '\0');
	add_line(head, "Muster-Fencing-Token: ", "");
	text_add_int(head, task->lease);
	text_add_char(head, '-');
	text_add_int(head, task->id);
	text_add_char(head, '\0');
	add_line(head, "Muster-Task: ", "");
	text_add_int(head, task->id);
	text_add_char(head, '\0');
	add_line(head, "Muster-Kind: ", task->kind);
	text_add_char(head, '\0');
	add_line(head, "Muster-Attempt: ", "");
	text_add_int(head, task->attempt);
	text_add_char(head, '\0');
	add_trace(request, head);
	text_add_char(head, '\0');
}

static void
chain_lines(struct http_request *request, struct curl_slist *configured)
{
	char *at = request->head.data;

	for (int i = 0; i < HTTP_OWN_LINES; i++) {
		request->lines[i].data = at;
		request->lines[i].next = i + 1 < HTTP_OWN_LINES
					     ? &request->lines[i + 1]
					     : configured;
		at += strlen(at) + 1;
	}
}

/* Both are handed on as PostgreSQL wrote them. */
static void
write_body(struct http_request *request, const struct task *task)
{
	struct text *body = &request->body;

	text_add_string(body, "{\"payload\":");
	if (task->payload != NULL)
		text_add(body, task->payload, task->payload_size);
	else
		text_add_string(body, "null");
	text_add_string(body, ",\"inputs\":");
	if (task->inputs != NULL)
		text_add(body, task->inputs, task->inputs_size);
	else
		text_add_string(body, "{}");
	text_add_char(body, '}');
	MUST(curl_easy_setopt(request->easy, CURLOPT_POSTFIELDSIZE_LARGE,
	    (curl_off_t)body->length));
	MUST(curl_easy_setopt(
	    request->easy, CURLOPT_POSTFIELDS, text_string(body)));
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
http_request_fill(struct http_request *request, const struct task *task,
    const char *cluster, const struct http_headers *headers, const char *entry,
    bool plain)
{
	struct curl_slist *addresses = NULL;

	http_request_clear(request);
	write_head(request, task, cluster);
	chain_lines(request, http_headers_lines(headers));
	write_body(request, task);
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
	http_answer_clear(&request->answer);
	request->refused[0] = '\0';
	request->detail[0] = '\0';
	set_version(request, true);
}

int64_t
http_request_moved(const struct http_request *request)
{
	curl_off_t sent = 0;

	(void)curl_easy_getinfo(request->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	return sent + (int64_t)request->answer.header_bytes +
	       (int64_t)request->answer.body_bytes;
}

/* A server that resets a stream, or goes away, is quoted in `detail`. */
bool
http_request_was_lost(const struct http_request *request, CURLcode code)
{
	if (request->plain || request->detail[0] != '\0' ||
	    http_answer_is_enough(&request->answer, code))
		return false;
	return code == CURLE_HTTP2_STREAM || code == CURLE_HTTP2 ||
	       code == CURLE_PARTIAL_FILE;
}

void
http_request_clear(struct http_request *request)
{
	http_answer_clear(&request->answer);
	text_clear(&request->head);
	text_clear(&request->entry);
	text_free(&request->body);
	request->refused[0] = '\0';
	request->detail[0] = '\0';
}
