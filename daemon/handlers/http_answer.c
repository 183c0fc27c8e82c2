#include "daemon/handlers/http_answer.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/handlers/output.h"

enum { AT_ONCE_MS = 100 }; /* a server that says "now" is not asked in a loop */

static bool
is_success(long status)
{
	return status >= 200 && status < 300;
}

bool
http_answer_bytes(struct http_answer *answer, const char *bytes, size_t size)
{
	size_t room = HTTP_ERROR_BYTES;

	answer->body_bytes += size;
	if (is_success(answer->head.status)) {
		room = answer->limit;
		answer->too_large = answer->body_bytes > room;
	} else {
		answer->cut = answer->body_bytes > HTTP_SKIPPED_BYTES;
	}
	if (answer->too_large || answer->cut)
		return false;
	room = room > answer->body.length ? room - answer->body.length : 0;
	text_add(&answer->body, bytes, size < room ? size : room);
	return true;
}

bool
http_answer_line(struct http_answer *answer, const char *line, size_t length)
{
	http_head_line(&answer->head, line, length);
	return answer->head.bytes <= HTTP_HEADER_BYTES;
}

const char *
http_answer_stage(const struct http_answer *answer)
{
	return answer->head.bytes == 0 ? "without an answer"
				       : "in the middle of the answer";
}

/* Less than `size` tells libcurl to end the transfer. */
static size_t
on_body(char *bytes, size_t one, size_t size, void *argument)
{
	(void)one;
	return http_answer_bytes(argument, bytes, size) ? size : 0;
}

static size_t
on_header(char *bytes, size_t one, size_t size, void *argument)
{
	(void)one;
	return http_answer_line(argument, bytes, size) ? size : 0;
}

void
http_answer_attach(struct http_answer *answer, CURL *easy)
{
	(void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, answer);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, answer);
}

void
http_answer_free(struct http_answer *answer)
{
	text_free(&answer->body);
	http_head_free(&answer->head);
}

/* A large one is not kept for the next. */
void
http_answer_clear(struct http_answer *answer)
{
	struct http_answer fresh = {.limit = answer->limit};

	http_answer_free(answer);
	*answer = fresh;
}

/* Whether all of it came, though the transfer failed: a server may answer
 * without having read the request to its end, and close (RFC 9113, 8.1). */
static bool
is_whole(const struct http_answer *answer, CURLcode code)
{
	const struct http_head *head = &answer->head;

	if (code == CURLE_OK)
		return true;
	if (code != CURLE_HTTP2_STREAM && code != CURLE_SEND_ERROR &&
	    code != CURLE_RECV_ERROR && code != CURLE_PARTIAL_FILE)
		return false;
	return head->ended && head->has_length && !head->chunked &&
	       (size_t)head->length == answer->body_bytes;
}

bool
http_answer_is_enough(const struct http_answer *answer, CURLcode code)
{
	long status = answer->head.status;

	return status >= 300 || (is_success(status) && is_whole(answer, code));
}

/* Where a Location leads; what cannot be understood, as it is. */
static void
add_location(const struct http_answer *answer, const struct http_end *end,
    struct text *text)
{
	const char *location = answer->head.location.data;
	CURLU *url = curl_url_dup(end->url);
	char *whole = NULL;

	if (url == NULL)
		abort();
	if (curl_url_set(url, CURLUPART_URL, location,
		CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK)
		(void)curl_url_get(url, CURLUPART_URL, &whole, 0);
	if (whole != NULL)
		location = whole;
	text_add_string(text, ", to ");
	http_headers_mask(end->headers, location, strlen(location), text);
	text_add_string(text, "; redirects are not followed");
	curl_free(whole);
	curl_url_cleanup(url);
}

/* "status 500: what the body says" */
static void
describe_status(const struct http_answer *answer, const struct http_end *end,
    struct text *text)
{
	text_addf(text, "status %ld", answer->head.status);
	if (answer->head.status < 400 && answer->head.location.length > 0)
		add_location(answer, end, text);
	if (answer->body.length == 0)
		return;
	text_add_string(text, ": ");
	http_headers_mask(
	    end->headers, answer->body.data, answer->body.length, text);
}

/* What Retry-After says, in seconds or as a date; -1: nothing that can be
 * understood. */
static int64_t
wished_ms(const struct http_answer *answer)
{
	const struct text *after = &answer->head.retry_after;
	int64_t s;

	if (after->length == 0)
		return -1;
	if (after->data[strspn(after->data, "0123456789")] == '\0') {
		s = after->length > 9 ? INT32_MAX
				      : strtol(after->data, NULL, 10);
	} else {
		s = (int64_t)curl_getdate(after->data, NULL);
		if (s < 0)
			return -1;
		s -= wall_now_us() / 1000000;
	}
	if (s > INT32_MAX)
		return INT32_MAX;
	return s > 0 ? s * 1000 : AT_ONCE_MS;
}

static void
judge_status(const struct http_answer *answer, const struct http_end *end,
    struct text *text, struct outcome *outcome)
{
	long status = answer->head.status;

	describe_status(answer, end, text);
	if (status == 429 || status == 503) {
		outcome->kind = OUTCOME_TRY_LATER;
		outcome->after_ms = wished_ms(answer);
	} else if (status >= 500 || status < 300) {
		outcome->kind = OUTCOME_FAILED;
	} else {
		outcome->kind = OUTCOME_FAILED_HARD;
	}
}

static void
judge_broken(const struct http_answer *answer, const struct http_end *end,
    struct text *text, struct outcome *outcome)
{
	long status = answer->head.status;

	outcome->kind = end->code == CURLE_SSL_CACERT_BADFILE
			    ? OUTCOME_CANNOT_RUN
			    : OUTCOME_FAILED;
	if (status > 0)
		text_addf(text, "status %ld, then ", status);
	if (answer->head.bytes > HTTP_HEADER_BYTES)
		text_addf(
		    text, "more than %d bytes of headers", HTTP_HEADER_BYTES);
	else
		text_add_string(text, end->broken[0] != '\0'
					  ? end->broken
					  : curl_easy_strerror(end->code));
	if (answer->body.length == 0)
		return;
	text_add_string(text, ", after: ");
	http_headers_mask(end->headers, answer->body.data,
	    answer->body.length < HTTP_ERROR_BYTES ? answer->body.length
						   : HTTP_ERROR_BYTES,
	    text);
}

static void
judge_result(
    struct http_answer *answer, struct text *text, struct outcome *outcome)
{
	const char *wrong = output_to_result(&answer->body);

	if (wrong != NULL) {
		outcome->kind = OUTCOME_FAILED_HARD;
		text_addf(text, "the answer %s", wrong);
		return;
	}
	outcome->kind = OUTCOME_SUCCEEDED;
	if (answer->body.length == 0)
		return;
	outcome->result = answer->body.data;
	outcome->result_size = answer->body.length;
}

struct outcome
http_answer_judge(
    struct http_answer *answer, const struct http_end *end, struct text *text)
{
	struct outcome outcome = {.after_ms = -1};
	long status = answer->head.status;

	if (answer->too_large) {
		outcome.kind = OUTCOME_FAILED_HARD;
		text_addf(text,
		    "the answer is larger than max_result (%zu bytes)",
		    answer->limit);
	} else if (is_success(status) && is_whole(answer, end->code)) {
		judge_result(answer, text, &outcome);
	} else if (status >= 300) { /* whole or not, it says enough */
		judge_status(answer, end, text, &outcome);
	} else {
		judge_broken(answer, end, text, &outcome);
	}
	outcome.error = text->data;
	outcome.error_size = text->length;
	return outcome;
}
