#include "daemon/handlers/http_wire.h"

#include <string.h>

#include "daemon/handlers/http_answer.h"
#include "tests/unit/unit.h"

static struct http_wire wire;
static struct http_answer answer;

static void
begin(void)
{
	http_wire_clear(&wire);
	answer.limit = 1000;
	http_answer_clear(&answer);
}

static void
teardown(void)
{
	http_wire_free(&wire);
	http_answer_free(&answer);
}

/* In pieces of `step` bytes; how many were taken. */
static size_t
feed(const char *text, size_t step)
{
	size_t size = strlen(text), at = 0;

	begin();
	while (at < size) {
		size_t piece = size - at < step ? size - at : step;
		size_t taken = http_wire_take(&wire, &answer, text + at, piece);

		at += taken;
		if (taken < piece)
			break;
	}
	return at;
}

/* However it comes, it is the same answer, and no byte more than it. */
static void
check_whole(const char *text, long status, const char *body, bool keeps)
{
	char longer[4096];

	snprintf(longer, sizeof(longer), "%sHTTP/1.1 500 Next\r\n", text);
	for (size_t step = 1; step <= strlen(longer); step++) {
		ck_assert_uint_eq(feed(longer, step), strlen(text));
		ck_assert_int_eq(wire.state, HTTP_WIRE_DONE);
		ck_assert_int_eq(wire.code, CURLE_OK);
		ck_assert_int_eq(answer.head.status, status);
		ck_assert_str_eq(text_string(&answer.body), body);
		ck_assert_int_eq(wire.keeps, keeps);
	}
}

START_TEST(an_answer_ends_where_its_head_says)
{
	check_whole("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200,
	    "abc", true);
	check_whole(
	    "HTTP/1.1 200\nconTENT-length:  3 \n\nabc", 200, "abc", true);
	check_whole(
	    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", true);
	check_whole(
	    "HTTP/1.1 204 None\r\nContent-Length: 7\r\n\r\n", 204, "", true);
	check_whole("HTTP/1.1 304 Same\r\n\r\n", 304, "", true);
	check_whole("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		    "3\r\nabc\r\n1F;x=y\r\n0123456789012345678901234567890\r\n"
		    "0\r\nA: trailer\r\n\r\n",
	    200, "abc0123456789012345678901234567890", true);
}
END_TEST

START_TEST(whether_the_connection_is_kept_is_said_in_the_head)
{
	check_whole("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"
		    "Connection: Upgrade , Close\r\n\r\na",
	    200, "a", false);
	check_whole(
	    "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", 200, "a", false);
	check_whole("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n"
		    "Connection: keep-alive\r\n\r\na",
	    200, "a", true);
	check_whole("HTTP/1.1 200 OK\r\nConnection: closed\r\n"
		    "Content-Length: 1\r\n\r\na",
	    200, "a", true);
	/* Two lengths: nobody knows where the next answer begins. */
	check_whole("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
		    "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
	    200, "a", false);
}
END_TEST

START_TEST(answers_that_come_before_the_answer_are_passed_over)
{
	check_whole("HTTP/1.1 100 Continue\r\n\r\n"
		    "HTTP/1.1 103 Hints\r\nRetry-After: 7\r\nLink: a\r\n\r\n"
		    "HTTP/1.1 201 Made\r\nContent-Length: 2\r\n\r\nok",
	    201, "ok", true);
	ck_assert_uint_eq(answer.head.retry_after.length, 0);
}
END_TEST

START_TEST(a_line_like_a_status_elsewhere_is_none)
{
	check_whole("HTTP/1.1 200 OK\r\nHTTP/1.1 500 No\r\n"
		    "Transfer-Encoding: chunked\r\n\r\n0\r\n"
		    "HTTP/1.1 500 No\r\nRetry-After: 1\r\n\r\n",
	    200, "", true);
	ck_assert_uint_eq(answer.head.retry_after.length, 0);
}
END_TEST

START_TEST(a_body_without_a_length_ends_with_the_connection)
{
	feed("HTTP/1.1 200 OK\r\n\r\nabc", 4);
	ck_assert_int_eq(wire.state, HTTP_WIRE_CLOSE);
	http_wire_end(&wire);
	ck_assert_int_eq(wire.state, HTTP_WIRE_DONE);
	ck_assert_str_eq(text_string(&answer.body), "abc");
	ck_assert(!wire.keeps);
}
END_TEST

static void
check_broken(const char *text, CURLcode code, const char *words)
{
	for (size_t step = 1; step <= strlen(text) + 1; step++) {
		feed(text, step);
		if (wire.state != HTTP_WIRE_BROKEN)
			http_wire_end(&wire);
		ck_assert_int_eq(wire.state, HTTP_WIRE_BROKEN);
		ck_assert_str_eq(wire.words, words);
		ck_assert_int_eq(wire.code, code);
	}
}

START_TEST(a_connection_that_closes_too_soon_breaks_the_answer)
{
	check_broken("", CURLE_GOT_NOTHING, "Empty reply from server");
	check_broken("HTTP/1.1 200 OK\r\nA: b\r\n", CURLE_GOT_NOTHING,
	    "the connection was closed in the headers");
	check_broken("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
	    CURLE_PARTIAL_FILE,
	    "transfer closed with 6 bytes remaining to read");
	check_broken("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		     "9\r\nabc",
	    CURLE_PARTIAL_FILE,
	    "transfer closed with outstanding read data remaining");
	check_broken("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		     "1\r\na\r\n0\r\n",
	    CURLE_PARTIAL_FILE,
	    "transfer closed with outstanding read data remaining");
}
END_TEST

START_TEST(what_is_no_answer_is_told_at_once)
{
	static const char *const heads[] = {"Content-Length: x",
	    "Content-Length: -1", "Content-Length: +1",
	    "Content-Length:", "Content-Length: 1 2", "Content-Length: 1, 1",
	    "Content-Length: 1234567890123456789",
	    "Content-Length: 1\r\nContent-Length: 2"};
	char text[256];

	check_broken("SSH-2.0-x\r\n", CURLE_UNSUPPORTED_PROTOCOL,
	    "Received HTTP/0.9 when not allowed");
	check_broken("\r\n", CURLE_UNSUPPORTED_PROTOCOL,
	    "Received HTTP/0.9 when not allowed");
	check_broken("HTTP/2 200\r\n\r\n", CURLE_UNSUPPORTED_PROTOCOL,
	    "Unsupported HTTP version in response");
	check_broken("HTTP/1.1 099 x\r\n\r\n", CURLE_WEIRD_SERVER_REPLY,
	    "Weird server reply");
	check_broken(
	    "HTTP/1.1\r\n\r\n", CURLE_WEIRD_SERVER_REPLY, "Weird server reply");
	check_broken("HTTP/1.1 2000 x\r\n\r\n", CURLE_WEIRD_SERVER_REPLY,
	    "Weird server reply");
	check_broken("HTTP/1.1 101 Go\r\n\r\n", CURLE_WEIRD_SERVER_REPLY,
	    "another protocol, which was not asked for");
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%s\r\n\r\nabc",
		    heads[i]);
		check_broken(
		    text, CURLE_WEIRD_SERVER_REPLY, "Invalid Content-Length");
	}
}
END_TEST

START_TEST(chunks_that_are_none_break_the_answer)
{
	static const char *const sizes[] = {"x\r\n", "-1\r\n", "\r\n",
	    "1000000000000000\r\n", "1z\r\n", " 1\r\n"};
	static const char *const codings[] = {"gzip", "chunked, gzip",
	    "gzip, chunked", "chunked\r\nTransfer-Encoding: chunked", ""};
	char text[256];

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		snprintf(text, sizeof(text),
		    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s",
		    sizes[i]);
		check_broken(
		    text, CURLE_RECV_ERROR, "a chunk without its size");
	}
	for (size_t i = 0; i < sizeof(codings) / sizeof(codings[0]); i++) {
		snprintf(text, sizeof(text),
		    "HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n",
		    codings[i]);
		check_broken(text, CURLE_WEIRD_SERVER_REPLY,
		    "Transfer-Encoding is not chunked");
	}
	check_broken("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		     "1\r\nab\r\n",
	    CURLE_RECV_ERROR, "a chunk beyond its size");
}
END_TEST

/* Whatever is never ended: a line of the head, of a chunk, of trailers. */
START_TEST(lines_without_end_are_cut_off)
{
	static const char *const starts[] = {"HTTP/1.1 200 ",
	    "HTTP/1.1 200 OK\r\nA: ",
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na",
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: "};
	char more[1000];

	memset(more, 'x', sizeof(more));
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		int count = 0;

		feed(starts[i], 1000);
		while (wire.state != HTTP_WIRE_BROKEN) {
			http_wire_take(&wire, &answer, more, sizeof(more));
			ck_assert_int_le(++count, HTTP_HEADER_BYTES / 1000 + 1);
		}
	}
}
END_TEST

START_TEST(a_body_beyond_what_is_kept_ends_it)
{
	char text[2100] = "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n";

	memset(text + strlen(text), 'x', 1001);
	feed(text, sizeof(text));
	ck_assert_int_eq(wire.state, HTTP_WIRE_BROKEN);
	ck_assert_int_eq(wire.code, CURLE_WRITE_ERROR);
	ck_assert(answer.too_large);
}
END_TEST

START_TEST(a_head_tells_what_the_outcome_follows_from)
{
	feed("HTTP/1.1 503 Busy\r\nRetry-After:  120 \r\nlocation: /a b\r\n"
	     "Content-Length: 0\r\n\r\n",
	    7);
	ck_assert_str_eq(text_string(&answer.head.retry_after), "120");
	ck_assert_str_eq(text_string(&answer.head.location), "/a b");
	ck_assert_int_eq(answer.head.status, 503);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("http_wire");
	TCase *tests = unit_case(suite, "wire");

	tcase_add_checked_fixture(tests, begin, teardown);
	tcase_add_test(tests, an_answer_ends_where_its_head_says);
	tcase_add_test(
	    tests, whether_the_connection_is_kept_is_said_in_the_head);
	tcase_add_test(
	    tests, answers_that_come_before_the_answer_are_passed_over);
	tcase_add_test(tests, a_line_like_a_status_elsewhere_is_none);
	tcase_add_test(tests, a_body_without_a_length_ends_with_the_connection);
	tcase_add_test(
	    tests, a_connection_that_closes_too_soon_breaks_the_answer);
	tcase_add_test(tests, what_is_no_answer_is_told_at_once);
	tcase_add_test(tests, chunks_that_are_none_break_the_answer);
	tcase_add_test(tests, lines_without_end_are_cut_off);
	tcase_add_test(tests, a_body_beyond_what_is_kept_ends_it);
	tcase_add_test(tests, a_head_tells_what_the_outcome_follows_from);
	return unit_run(suite);
}
