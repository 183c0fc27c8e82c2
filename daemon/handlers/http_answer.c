#include "daemon/handlers/http_answer.h"

#include <string.h>

#include "daemon/handlers/output.h"

enum { AT_ONCE_MS = 100 }; /* a server that says "now" is not asked in a loop */

long
http_answer_status(const struct http_answer *answer)
{
	long status = 0;

	(void)curl_easy_getinfo(answer->easy, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

static bool
is_success(long status)
{
	return status >= 200 && status < 300;
}

/* Less than `size` tells libcurl to end the transfer. */
static size_t
on_body(char *bytes, size_t one, size_t size, void *argument)
{
	struct http_answer *answer = argument;
	size_t room = HTTP_ERROR_BYTES, kept = size;

	(void)one;
	answer->body_bytes += size;
	if (is_success(http_answer_status(answer))) {
		room = answer->limit;
		answer->too_large = answer->body_bytes > room;
	} else {
		answer->cut = answer->body_bytes > HTTP_SKIPPED_BYTES;
	}
	if (answer->too_large || answer->cut)
		return 0;
	room = room > answer->body.length ? room - answer->body.length : 0;
	if (kept > room)
		kept = room;
	text_add(&answer->body, bytes, kept);
	return size;
}

static size_t
on_header(char *bytes, size_t one, size_t size, void *argument)
{
	struct http_answer *answer = argument;

	(void)bytes, (void)one;
	answer->header_bytes += size;
	return answer->header_bytes > HTTP_HEADER_BYTES ? 0 : size;
}

void
http_answer_attach(struct http_answer *answer, CURL *easy, size_t limit)
{
	*answer = (struct http_answer){.easy = easy, .limit = limit};
	(void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, answer);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, answer);
}

void
http_answer_clear(struct http_answer *answer)
{
	struct http_answer fresh = {
	    .easy = answer->easy, .limit = answer->limit};

	text_free(&answer->body); /* a large one is not kept for the next */
	*answer = fresh;
}

void
http_answer_free(struct http_answer *answer)
{
	text_free(&answer->body);
}

/* Whether all of it came, though the transfer failed: a server may answer
 * without having read the request to its end, and close (RFC 9113, 8.1). */
static bool
is_whole(const struct http_answer *answer, CURLcode code)
{
	curl_off_t length = -1;

	if (code == CURLE_OK)
		return true;
	if (code != CURLE_HTTP2_STREAM && code != CURLE_SEND_ERROR &&
	    code != CURLE_RECV_ERROR && code != CURLE_PARTIAL_FILE)
		return false;
	(void)curl_easy_getinfo(
	    answer->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	return length >= 0 && (size_t)length == answer->body_bytes;
}

bool
http_answer_is_enough(const struct http_answer *answer, CURLcode code)
{
	long status = http_answer_status(answer);

	return status >= 300 || (is_success(status) && is_whole(answer, code));
}

/* "status 500: what the body says" */
static void
describe_status(const struct http_answer *answer, long status,
    const struct http_headers *headers, struct text *text)
{
	char *location = NULL;

	text_addf(text, "status %ld", status);
	(void)curl_easy_getinfo(answer->easy, CURLINFO_REDIRECT_URL, &location);
	if (location != NULL) {
		text_add_string(text, ", to ");
		http_headers_mask(headers, location, strlen(location), text);
		text_add_string(text, "; redirects are not followed");
	}
	if (answer->body.length == 0)
		return;
	text_add_string(text, ": ");
	http_headers_mask(
	    headers, answer->body.data, answer->body.length, text);
}

/* What Retry-After says; -1: nothing that can be understood. libcurl gives 0
 * for that, too, and for a date that has passed. */
static int64_t
wished_ms(const struct http_answer *answer)
{
	struct curl_header *header;
	curl_off_t after_s = 0;
	const char *text;

	if (curl_easy_header(answer->easy, "Retry-After", 0, CURLH_HEADER, -1,
		&header) != CURLHE_OK)
		return -1;
	(void)curl_easy_getinfo(answer->easy, CURLINFO_RETRY_AFTER, &after_s);
	if (after_s > 0)
		return after_s > INT32_MAX ? INT32_MAX : after_s * 1000;
	text = header->value;
	if (text[strspn(text, "0")] != '\0' && curl_getdate(text, NULL) < 0)
		return -1;
	return AT_ONCE_MS;
}

static void
judge_status(const struct http_answer *answer, long status,
    const struct http_headers *headers, struct text *text,
    struct outcome *outcome)
{
	describe_status(answer, status, headers, text);
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
judge_broken(const struct http_answer *answer, CURLcode code,
    const char *broken, const struct http_headers *headers, struct text *text,
    struct outcome *outcome)
{
	long status = http_answer_status(answer);

	outcome->kind = code == CURLE_SSL_CACERT_BADFILE ? OUTCOME_CANNOT_RUN
							 : OUTCOME_FAILED;
	if (status > 0)
		text_addf(text, "status %ld, then ", status);
	if (answer->header_bytes > HTTP_HEADER_BYTES)
		text_addf(
		    text, "more than %d bytes of headers", HTTP_HEADER_BYTES);
	else
		text_add_string(text,
		    broken[0] != '\0' ? broken : curl_easy_strerror(code));
	if (answer->body.length == 0)
		return;
	text_add_string(text, ", after: ");
	http_headers_mask(headers, answer->body.data,
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
http_answer_judge(struct http_answer *answer, CURLcode code, const char *broken,
    const struct http_headers *headers, struct text *text)
{
	struct outcome outcome = {.after_ms = -1};
	long status = http_answer_status(answer);

	if (answer->too_large) {
		outcome.kind = OUTCOME_FAILED_HARD;
		text_addf(text,
		    "the answer is larger than max_result (%zu bytes)",
		    answer->limit);
	} else if (is_success(status) && is_whole(answer, code)) {
		judge_result(answer, text, &outcome);
	} else if (status >= 300) { /* whole or not, it says enough */
		judge_status(answer, status, headers, text, &outcome);
	} else {
		judge_broken(answer, code, broken, headers, text, &outcome);
	}
	outcome.error = text->data;
	outcome.error_size = text->length;
	return outcome;
}
